"""Buckets in which a worker may not do all that it has to: each refusal is told, and nothing that was paid for is lost."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import fsspec
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.errors import SourceError
from tests.runs import QUIET, failure, message
from tests.s3_server import Policy, s3_server
from tests.scripted_server import ScriptedServer, chat
from tests.tickets import KEY, Tickets, with_column

ROWS = {1: "a", 2: "b", 3: "c"}
GRANTS = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
POLICY = Policy()


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    with s3_server("the-key", "the-secret", POLICY) as options:
        yield options


@pytest.fixture
def policy() -> Iterator[Policy]:
    yield POLICY
    POLICY.denied = set()


@pytest.fixture
def store(s3: dict[str, Any], request: pytest.FixtureRequest) -> ColumnStore:
    folder = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return ColumnStore(base_path=f"s3://bucket/{folder}", storage_options=s3)


@pytest.fixture(autouse=True)
def _dead_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim of a run that may not remove it is taken over at once."""
    monkeypatch.setattr("pxt_assets.compute.claims.claim.DEAD_SECONDS", 0.0)


def run(store: ColumnStore, openai: OpenAIResource) -> dg.ExecuteInProcessResult:
    """Materializes the column of rows that are not in the bucket."""

    @dg.asset(name="tickets", io_manager_key="memory")
    def upstream() -> pa.Table:
        return pa.table({"id": list(ROWS), "body": list(ROWS.values())})

    return dg.materialize(
        with_column(upstream),
        resources={"columns": store, "openai": openai, "memory": dg.mem_io_manager},
        run_config=QUIET,
        raise_on_error=False,
    )


@pytest.mark.parametrize("denied", GRANTS)
@pytest.mark.parametrize("is_stored", [False, True], ids=["new", "stored"])
def test_what_is_denied_is_told_and_once_it_is_granted_nothing_is_asked_for_again(
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    policy: Policy,
    denied: str,
    is_stored: bool,
) -> None:
    """Of a column that is stored the file stays readable, and as it was."""
    if is_stored:
        Tickets(store, openai).run({1: "a", 2: "b"})
        server.forget()
    policy.denied = {denied}
    result = run(store, openai)
    assert not result.success
    said = failure(result)
    assert said.description.startswith(f"tickets/c: the store at {store.base_path} does not let this worker ")
    assert denied in said.description
    assert "materialize again" in said.description
    assert "the-secret" not in message(result)
    policy.denied = set()
    assert store.file(KEY).exists() or not is_stored
    run_again = run(store, openai)
    assert run_again.success
    assert sorted(server.texts) == (["c"] if is_stored else ["a", "b", "c"])


@pytest.mark.parametrize("denied", ["s3:PutObject", "s3:GetObject"])
def test_a_permission_that_is_withdrawn_in_the_middle_loses_what_is_in_flight_at_most(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, policy: Policy, denied: str, s3: Any
) -> None:
    """What was answered before is in the journal, and is found there."""
    bucket = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, **s3)

    def script(asked: Any) -> Any:
        if asked.text == "b" and not policy.denied:
            ends = time.monotonic() + 30
            while len(_segments(bucket, store)) == 0 and time.monotonic() < ends:
                time.sleep(0.01)
            policy.denied = {denied}
        return chat(asked)

    server.script = script
    result = run(store, openai)
    assert not result.success
    assert str(store.base_path).removeprefix("s3://") in failure(result).description
    policy.denied = set()
    server.script = chat
    server.forget()
    assert run(store, openai).success
    assert set(server.texts) <= {"b", "c"}
    assert _segments(bucket, store) == []


def test_rows_that_may_not_be_read_are_told(
    store: ColumnStore, openai: OpenAIResource, policy: Policy
) -> None:
    """By the store as an IO manager, too, which names the asset and the place."""
    Tickets(store, openai).run({1: "a"})
    policy.denied = {"s3:GetObject"}
    context = dg.build_input_context(asset_key=dg.AssetKey("tickets"))
    with pytest.raises(SourceError, match=rf"^tickets: the store at {store.base_path} does not .* read"):
        store.load_input(context)


def test_rows_that_may_not_be_written_are_told(
    store: ColumnStore, openai: OpenAIResource, policy: Policy
) -> None:
    policy.denied = {"s3:PutObject"}
    result = Tickets(store, openai).run({1: "a"}, fails=True)
    assert f"tickets: the store at {store.base_path} does not let this worker write" in message(result)


def _segments(bucket: Any, store: ColumnStore) -> list[str]:
    bucket.invalidate_cache()
    return [path for path in bucket.find(store.base_path.removeprefix("s3://")) if path.endswith(".arrow")]
