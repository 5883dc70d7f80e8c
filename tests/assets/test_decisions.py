"""Columns of decisions: what is stored, counted and paid of answers, refusals and what is no answer."""

from typing import Any

import pytest

from pxt_assets import ColumnStore, Table, choice, predicate
from pxt_assets.functions import decisions
from tests.runs import materialize, metadata, rows_asset, stored
from tests.scripted_server import Asked, Reply, resource_of

QUESTIONS = {
    "urgent": predicate("The customer needs an answer today."),
    "topic": choice("What is it about?", ["delivery", "defect"]),
}
BODIES = ["answered", "half refused", "refused", "invalid", None]
URGENT = {"type": "predicate", "name": "urgent", "probability": 0.75}
TOPIC = {
    "type": "choice",
    "name": "topic",
    "choice": "defect",
    "confidence": 0.5,
    "probabilities": [{"value": "defect", "probability": 1.0}, {"value": "delivery", "probability": 0.0}],
}
REFUSED = {"type": "refusal", "name": "topic"}
ANSWERS = {
    "answered": [URGENT, TOPIC],
    "half refused": [URGENT, REFUSED],
    "refused": [{**REFUSED, "name": "urgent"}, REFUSED],
    "invalid": [{**URGENT, "probability": None}, TOPIC],
}
USAGE = {"input_tokens": 1_000, "output_tokens": 7, "total_tokens": 1_007}


def answer(asked: Asked) -> Reply:
    return Reply({"answers": ANSWERS[asked.text], "model": "gpt-6-luna", "usage": USAGE})


@pytest.fixture
def assets() -> list[Any]:
    rows = rows_asset({"id": range(len(BODIES)), "body": BODIES})
    tbl = Table(rows, key="id")
    tbl.add_computed_column(
        triage=decisions(tbl.body, model="gpt-6-luna", questions=QUESTIONS), on_error="ignore"
    )
    tbl.add_computed_column(urgent=tbl.triage.parsed.urgent.probability)
    tbl.add_computed_column(topic=tbl.triage.parsed.topic.choice)
    return [rows, *tbl.assets]


def test_answers_become_columns_and_all_is_counted(store: ColumnStore, serve: Any, assets: list[Any]) -> None:
    """A refusal is a null or its row's error, what is no answer its row's error; each of them is paid for."""
    server = serve(answer)
    result = materialize(assets, store, resource_of(server))
    triage = stored(store, "tickets/triage")
    assert triage["triage_errortype"].to_pylist() == [None, None, "RefusalError", "InvalidAnswer", None]
    assert stored(store, "tickets/urgent")["urgent"].to_pylist() == [0.75, 0.75, None, None, None]
    assert stored(store, "tickets/topic")["topic"].to_pylist() == ["defect", None, None, None, None]
    found = metadata(result, "tickets/triage")
    assert (found["pxt/rows_computed"], found["pxt/rows_failed"], found["pxt/rows_null"]) == (2, 2, 1)
    assert found["pxt/questions_refused"] == 3
    assert "**3 of 6 questions refused**" in found["pxt/summary"]
    assert (found["pxt/requests"], found["pxt/input_tokens"], found["pxt/output_tokens"]) == (4, 4_000, 28)
    assert found["pxt/cost_usd"] == pytest.approx(4 * 1_000 * 0.1e-6)
    assert "pxt/questions_refused" not in metadata(result, "tickets/topic")
    answers_later = {**ANSWERS, "refused": [URGENT, TOPIC], "invalid": [URGENT, TOPIC]}
    server.forget()
    server.script = lambda asked: Reply({"answers": answers_later[asked.text], "model": "gpt-6-luna"})
    again = metadata(materialize(assets, store, resource_of(server)), "tickets/triage")
    assert server.texts == ["invalid", "refused"]
    assert (again["pxt/questions_refused"], again["pxt/rows_failed"]) == (1, 0)


def test_a_dry_run_prices_what_would_be_read(store: ColumnStore, serve: Any, assets: list[Any]) -> None:
    """Nothing is asked; what is answered costs nothing."""
    server = serve(answer)
    materialize(assets, store, only=["tickets"])
    config = {"tickets/triage": {"dry_run": True}}
    result = materialize(assets, store, resource_of(server), config=config, only=["tickets/triage"])
    (seen,) = [
        one.event_specific_data.asset_observation for one in result.all_events if one.is_asset_observation
    ]
    told = {name: value.value for name, value in seen.metadata.items()}
    assert server.asked == []
    assert (told["pxt/estimated_requests"], told["pxt/estimated_output_tokens"]) == (4, 0)
    assert told["pxt/estimated_cost_usd"] == pytest.approx(told["pxt/estimated_input_tokens"] * 0.1e-6)
    print(told)
