"""Dry runs of answers that come later: their price, and what now would cost."""

from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import responses
from tests.tickets import Tickets, observations

DRY = {"dry_run": True}
ROWS = {"1": "late", "2": "broken"}


def dry(store: ColumnStore, openai: OpenAIResource, within: Any, config: Any = None) -> dict[str, Any]:
    """What a dry run says of a column with that time."""

    def column(table: Table) -> Any:
        return responses(table.body, model="gpt-6-luna")

    result = Tickets(store, openai).run(ROWS, column, config={**DRY, **(config or {})}, within=within)
    return observations(result)[None]


@pytest.mark.parametrize(
    ("within", "share", "way"),
    [
        ("24h", 0.5, "by batch, within 24 h"),
        ("8h", 0.6, "in the background, within 8 h"),
        ("2h", 0.7, "in the background, within 2 h"),
    ],
)
def test_it_prices_by_the_way_that_is_used(
    store: ColumnStore, openai: OpenAIResource, within: str, share: float, way: str
) -> None:
    """And says what the same rows would cost now; no rate limit bounds how long it takes."""
    now = dry(store, openai, None)
    later = dry(store, openai, within)
    assert later["pxt/estimated_cost_usd"] == pytest.approx(share * now["pxt/estimated_cost_usd"], rel=1e-4)
    assert later["pxt/estimated_cost_now_usd"] == now["pxt/estimated_cost_usd"]
    assert f" {way} ($" in later["pxt/estimate"]
    assert "pxt/estimated_by_limit" not in later


def test_now_is_told_as_before(store: ColumnStore, openai: OpenAIResource) -> None:
    """Also where the run config says so."""
    for said in (dry(store, openai, None), dry(store, openai, "24h", {"within": "now"})):
        assert "pxt/estimated_cost_now_usd" not in said
        assert "by batch" not in said["pxt/estimate"]


def test_the_run_config_decides(store: ColumnStore, openai: OpenAIResource) -> None:
    assert "by batch" in dry(store, openai, None, {"within": "24h"})["pxt/estimate"]
