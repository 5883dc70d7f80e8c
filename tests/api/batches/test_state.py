"""What servers say of a batch."""

from typing import Any

import pytest

from pxt_assets.api.batches import BatchError
from pxt_assets.api.batches.state import state_of

OPENAI: dict[str, Any] = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/responses",
    "model": "gpt-6-luna",
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "in_progress",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1_800_000_000,
    "expires_at": 1_800_086_400,
    "completed_at": None,
    "request_counts": {"total": 100, "completed": 95, "failed": 5},
    "metadata": {"pxt_batch": "b-1"},
}


def test_a_batch_of_openai() -> None:
    state = state_of(OPENAI)
    assert (state.id, state.name, state.status, state.endpoint) == (
        "batch_1",
        "b-1",
        "in_progress",
        "/v1/responses",
    )
    assert (state.total, state.completed, state.failed) == (100, 95, 5)
    assert (state.created_at, state.expires_at) == (1_800_000_000.0, 1_800_086_400.0)
    assert (state.input_file_id, state.output_file_id, state.error_file_id) == ("file-1", None, None)
    assert not state.is_ended


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": None, "request_counts": None, "errors": None, "created_at": None, "expires_at": None},
        {"metadata": "x", "request_counts": [], "errors": "", "created_at": "now", "expires_at": False},
        {
            "output_file_id": "",
            "error_file_id": "",
            "request_counts": {"total": None},
            "errors": {"data": None},
        },
        dict.fromkeys(OPENAI.keys() - {"id", "status"}),
    ],
    ids=range(4),
)
def test_what_is_missing_or_empty_is_none(changed: dict[str, Any]) -> None:
    """As Azure's ids of files, and counts and times of servers that keep none."""
    state = state_of({**OPENAI, **changed})
    assert state.output_file_id is None
    assert state.error_file_id is None
    assert state.errors == ()
    assert {**OPENAI, **changed}["request_counts"] == OPENAI["request_counts"] or state.total is None


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ({"status": "completed"}, True),
        ({"status": "Completed"}, True),
        ({"status": "failed"}, True),
        ({"status": "expired"}, True),
        ({"status": "cancelled"}, True),
        ({"status": "canceled"}, True),
        ({"status": "cancelling"}, False),
        ({"status": "validating"}, False),
        ({"status": "finalizing", "completed_at": 1_800_000_000}, False),
        ({"status": "paused"}, False),
        ({"status": "success", "output_file_id": "file-2"}, True),
        ({"status": "finalizing", "output_file_id": "file-2"}, False),
        ({"status": "archived", "completed_at": 1_800_000_000}, True),
        ({"status": "archived", "completed_at": 0}, False),
    ],
)
def test_which_states_are_ends(said: dict[str, Any], ended: bool) -> None:
    """A word that nobody knows is an end where a time of an end stands beside it."""
    assert state_of({**OPENAI, **said}).is_ended == ended


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"data": [{"code": "c", "message": "m", "line": 3, "param": None}]}, [BatchError("c", "m", 3)]),
        ([{"code": None, "message": "m"}], [BatchError(None, "m")]),
        ({"code": "c", "message": "m"}, [BatchError("c", "m")]),
        ({"data": ["words", {}, None]}, [BatchError(None, "words")]),
        ({"data": [{"message": "key sk-secret-4711"}]}, [BatchError(None, "key ***")]),
        ({"data": [{"code": "c"}]}, [BatchError("c", "c")]),
    ],
)
def test_why_it_failed(errors: Any, expected: list[BatchError]) -> None:
    """In the form of OpenAI's, and in others; without secrets."""
    assert (
        list(state_of({**OPENAI, "status": "failed", "errors": errors}, ("sk-secret-4711",)).errors)
        == expected
    )


@pytest.mark.parametrize(
    "said", [None, [], "x", {}, {"id": "b"}, {"status": "failed"}, {"id": "", "status": "x"}]
)
def test_what_is_no_batch_is_an_error(said: Any) -> None:
    with pytest.raises(ValueError, match="no batch"):
        state_of(said)
