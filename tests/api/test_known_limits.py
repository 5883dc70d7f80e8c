"""What is known of limits before anything is sent, and how long requests take at them."""

from dataclasses import replace
from pathlib import Path

import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api.known_limits import KnownLimits, ResourceLimits
from tests.runs import ask, materialize, rows_asset
from tests.scripted_server import chat


def limits(resource: OpenAIResource, model: str = "gpt-4o-mini", *, sends_limits: bool = True) -> KnownLimits:
    return ResourceLimits(resource).of_model(model, sends_limits=sends_limits)


def test_what_is_configured_counts_until_the_server_says_more() -> None:
    """By model or by group; 600 requests/minute where nothing is."""
    resource = OpenAIResource(api_key="k", rate_limits={"gpt-4o-mini": 1_000}, ledger="memory")
    assert limits(resource).text == "1,000 requests/minute (rate_limits)"
    assert limits(resource, "other", sends_limits=False).text == "600 requests/minute (default_rpm)"
    assert limits(resource, "other").text == (
        "600 requests/minute (default_rpm, as long as the server's limits are not known)"
    )


def test_a_simulator_has_the_limits_that_it_was_given() -> None:
    """Of requests and of tokens, or none; it is not started to find out."""
    resource = OpenAIResource.simulated(rpm=500, tpm=200_000)
    assert limits(resource).text == "500 requests/minute and 200,000 tokens/minute (the simulator's)"
    assert limits(OpenAIResource.simulated()).text == "no limit (the simulator's)"
    assert resource._server is None


def test_what_a_server_said_is_remembered(serve: object, store: ColumnStore, tmp_path: Path) -> None:
    """By the ledger, whichever process asked; a ledger that is not there is not made."""
    told = {
        "x-ratelimit-limit-requests": "300",
        "x-ratelimit-remaining-requests": "299",
        "x-ratelimit-reset-requests": "200ms",
    }
    server = serve(lambda asked: replace(chat(asked), headers=told))  # type: ignore[operator]
    resource = OpenAIResource(
        base_url=server.base_url, api_key="k", ledger=f"sqlite:///{tmp_path}/ledger.sqlite"
    )
    assert limits(resource).by.startswith("default_rpm")
    assert not (tmp_path / "ledger.sqlite").exists()
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    materialize([upstream, *table.assets], store, resource)
    assert limits(resource).text == "300 requests/minute (as the server said last)"


@pytest.mark.parametrize(("requests", "tokens", "seconds"), [(600, 1_000, 60), (10, 200_000, 120), (0, 0, 0)])
def test_the_scarcer_limit_decides(requests: int, tokens: int, seconds: float) -> None:
    """Requests and tokens are taken at the same time."""
    assert KnownLimits("m", 600, 100_000, "").seconds(requests, tokens) == seconds


def test_without_a_limit_nothing_waits() -> None:
    """However much is sent."""
    assert KnownLimits("m", None, None, "").seconds(1_000, 1_000) == 0
