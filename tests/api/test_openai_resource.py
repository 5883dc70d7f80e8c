import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pydantic
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions, moderations
from pxt_assets.throttle import PoolRegistry
from pxt_assets.throttle.ledger import open_ledger
from tests.held import threads_left
from tests.runs import ask, failure, materialize, metadata, rows_asset, values
from tests.scripted_server import ScriptedServer, chat, resource_of

ROWS = {"id": [1, 2], "body": ["a", "b"]}


def table_assets(model: str = "gpt-4o-mini") -> list[Any]:
    """A table of two rows with a column `c` that asks, and `d`, what was answered."""
    upstream = rows_asset(ROWS)
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body, model=model))
    table.add_computed_column(d=table.c.choices[0].message.content)
    return [upstream, *table.assets]


def test_the_key_comes_from_the_environment(
    store: ColumnStore, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an api_key, OPENAI_API_KEY is read when the run starts, not when definitions load."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    openai = OpenAIResource(base_url=server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-env")
    materialize(table_assets(), store, openai)
    assert server.asked[0].headers["authorization"] == "Bearer sk-from-env"


def test_a_missing_key_is_named(
    store: ColumnStore, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the environment variable, the run fails and says which one is missing; nothing is asked."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(dg.DagsterInvalidConfigError, match="OPENAI_API_KEY"):
        materialize(table_assets(), store, OpenAIResource(base_url=server.base_url))
    assert not server.asked


def test_an_empty_key_is_named(
    store: ColumnStore, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty key is a missing one: the run fails before anything is sent, and says what to set."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    said = failure(materialize(table_assets(), store, OpenAIResource(base_url=server.base_url), fails=True))
    assert said.description.startswith("tickets/c: api_key of the OpenAIResource is empty")
    assert not server.asked


def test_its_text_shows_no_secrets() -> None:
    """Neither the key nor the ledger's URL, which may hold a password; the rest it shows."""
    resource = OpenAIResource(
        api_key="sk-secret", ledger="postgresql://me:sk-secret@db/limits", default_rpm=60
    )
    assert "sk-secret" not in repr(resource) + str(resource)
    assert "default_rpm=60" in repr(resource)


def test_definitions_load_without_a_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Loading definitions opens no socket, starts no thread and needs no key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    others = threading.enumerate()

    def refuse(*_: object) -> None:
        raise AssertionError("a connection while definitions load")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    for openai in (OpenAIResource(), OpenAIResource.simulated()):
        definitions = dg.Definitions(
            assets=table_assets(),
            resources={"openai": openai, "columns": ColumnStore(base_path=str(tmp_path))},
        )
        dg.Definitions.validate_loadable(definitions)
    assert {*threading.enumerate()} <= {*others}
    assert not list(tmp_path.iterdir())


def test_loading_definitions_imports_no_client(tmp_path: Path) -> None:
    """Definitions load, and resources are set up, without the OpenAI client, pandas or pyarrow."""
    code = """
import sys, dagster as dg
before = set(sys.modules)
from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions
table = Table("tickets")
table.add_computed_column(c=chat_completions([{"role": "user", "content": table.body}], model="m"))
for openai in (OpenAIResource(api_key="x"), OpenAIResource.simulated()):
    with dg.build_resources({"openai": openai, "columns": ColumnStore(base_path="nowhere")}) as made:
        made.openai, made.columns
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded & {"openai", "pandas", "pyarrow", "numpy", "httpx2", "starlette", "uvicorn", "genai_prices"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rpm", [0, -1, float("nan")])
def test_rate_limits_are_checked(rpm: float) -> None:
    """A rate that is not above 0 is refused where it is written, with the model's name."""
    with pytest.raises(pydantic.ValidationError, match=r"rate_limits\['m'\]: got .*, allowed: more than 0"):
        OpenAIResource(rate_limits={"m": rpm})


@pytest.mark.parametrize(
    "wrong", [{"default_rpm": 0}, {"max_in_flight": 0}, {"timeout": 0}, {"max_retries": -1}], ids=str
)
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    """Numbers that make no sense are refused where they are written."""
    with pytest.raises(pydantic.ValidationError, match=next(iter(wrong))):
        OpenAIResource(**wrong)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"rpm": 0}, ValueError), ({"fault_rate": 2}, ValueError), ({"speed": 9}, TypeError)],
    ids=["zero", "share", "unknown"],
)
def test_simulated_refuses_wrong_options(wrong: dict[str, Any], error: type[Exception]) -> None:
    """Options that the simulator does not take are refused where the resource is made."""
    with pytest.raises(error, match=next(iter(wrong))):
        OpenAIResource.simulated(**wrong)


def test_a_simulated_resource_needs_nothing(store: ColumnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated resource starts its own server for the run, and stops it after."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    others = threading.enumerate()
    result = materialize(table_assets(), store, OpenAIResource.simulated(seed=3))
    assert metadata(result, "tickets/c")["pxt/simulated"] is True
    assert all(text.startswith("[simulated]") for text in values(store, "tickets/d"))
    assert not threads_left(others)


def test_messages_of_the_simulator_are_whole(store: ColumnStore) -> None:
    """The stand-in for a key has no part in what is hidden in messages."""
    said = failure(
        materialize(table_assets("no-such-model"), store, OpenAIResource.simulated(), fails=True)
    ).description
    assert "***" not in said
    assert "no-such-model" in said


def test_organization_and_project_are_sent(store: ColumnStore, server: ScriptedServer) -> None:
    """The organization and the project that requests are counted for stand in their headers."""
    materialize(table_assets(), store, resource_of(server, organization="org-1", project="proj-2"))
    assert server.asked[0].headers["openai-organization"] == "org-1"
    assert server.asked[0].headers["openai-project"] == "proj-2"


@pytest.mark.parametrize("end", ["", "/"])
def test_a_base_url_may_end_with_a_slash(end: str, store: ColumnStore, server: ScriptedServer) -> None:
    """With or without a slash at its end, a base URL is the same."""
    materialize(table_assets(), store, resource_of(server, base_url=server.base_url + end))
    assert {asked.path for asked in server.asked} == {"/v1/chat/completions"}


def test_azure(store: ColumnStore, server: ScriptedServer) -> None:
    """With an api_version, requests go to the deployment that the model names, with Azure's key header."""
    root = server.base_url.removesuffix("/v1")
    openai = resource_of(server, base_url=f"{root}/openai", api_version="2025-04-01-preview")
    materialize(table_assets("my-deployment"), store, openai)
    asked = server.asked[0]
    assert asked.path == "/openai/deployments/my-deployment/chat/completions?api-version=2025-04-01-preview"
    assert asked.headers["api-key"] == "sk-secret-4711"
    assert asked.body["messages"][0]["content"] in {"a", "b"}
    assert values(store, "tickets/d") == ["re: a", "re: b"]


def test_what_is_sent(store: ColumnStore, server: ScriptedServer) -> None:
    """A request is the model and the arguments, as JSON, and none of those that were not given."""
    upstream = rows_asset({"id": [1], "body": ["ü 😀"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body, temperature=0, model_kwargs={"seed": 7}))
    materialize([upstream, *table.assets], store, resource_of(server))
    (asked,) = server.asked
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "ü 😀"}],
        "temperature": 0,
        "seed": 7,
    }


def test_no_more_than_max_in_flight(store: ColumnStore, serve: Any) -> None:
    """No more requests than allowed are under way at once, and as many as that."""
    together, lock, under_way, most = threading.Barrier(3, timeout=30), threading.Lock(), [0], [0]

    def answer(asked: Any) -> Any:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        together.wait()
        with lock:
            under_way[0] -= 1
        return chat(asked)

    upstream = rows_asset({"id": range(21), "body": [f"t{i}" for i in range(21)]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    materialize([upstream, *table.assets], store, resource_of(serve(answer), max_in_flight=3))
    assert most[0] == 3


@pytest.mark.filterwarnings("ignore:coroutine 'BaseEventLoop.shutdown_asyncgens'")  # of Dagster's own loop
def test_in_a_running_loop(store: ColumnStore, openai: OpenAIResource) -> None:
    """A run works inside a running event loop too, as in a notebook."""

    async def notebook() -> None:
        materialize(table_assets(), store, openai)

    asyncio.run(notebook())
    assert values(store, "tickets/d") == ["re: a", "re: b"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base_url": "https://user:hunter2@proxy.example/v1"}, "give them as api_key"),
    ],
)
def test_what_cannot_be_kept_secret_or_served_is_refused(wrong: dict[str, str], message: str) -> None:
    """Credentials in the URL of the API would be shown with it."""
    with pytest.raises(ValueError, match=message) as refused:
        OpenAIResource(api_key="sk-test", **wrong)
    assert "hunter2" not in str(refused.value)


def test_a_configured_rate_counts_for_any_endpoint_without_headers() -> None:
    """`rate_limits` is kept for chat too, until an answer's headers say a limit."""
    resource = OpenAIResource(api_key="sk-rates", rate_limits={"gpt-4o-mini": 120}, default_rpm=77)
    registry = PoolRegistry()
    message = {"messages": [{"role": "user", "content": "x"}]}
    rates = [
        resource._pool_of(registry, chat_completions.cell_request({**message, "model": model})).rpm
        for model in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o")
    ]
    assert rates == [120, 120, None]
    assert resource._pool_of(registry, moderations.cell_request({"input": "x"})).rpm == 77


@pytest.mark.parametrize("wrong", [{"base_url": "localhost:8000"}, {"base_url": ""}, {"ledgr": "x"}])
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, str]) -> None:
    """Half a URL and a misspelt name are errors when the resource is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OpenAIResource(api_key="sk-test", **wrong)


def test_accounts_are_told_apart_by_all_that_separates_their_limits() -> None:
    """Key, server, organization and project have budgets of their own; equal settings share one."""
    settings = {"api_key": "sk-a"}
    accounts = [
        OpenAIResource(**{**settings, **more})._account_id()
        for more in (
            {},
            {"api_key": "sk-b"},
            {"base_url": "http://127.0.0.1:9/v1"},
            {"organization": "o"},
            {"project": "o"},
        )
    ]
    assert len(set(accounts)) == 5
    assert OpenAIResource(**settings)._account_id() == accounts[0]
    assert "sk-a" not in accounts[0]


def test_models_are_grouped_by_hand_where_names_do_not_tell() -> None:
    """Models of one `model_groups` entry share a pool, snapshots of them too; others do not."""
    resource = OpenAIResource(
        api_key="sk-groups", model_groups={"my-deployment": "gpt-4o", "gpt-x": "gpt-4o"}
    )
    registry = PoolRegistry()
    message = {"messages": [{"role": "user", "content": "x"}]}
    pools = [
        resource._pool_of(registry, chat_completions.cell_request({**message, "model": model}))
        for model in ("gpt-4o", "gpt-4o-2024-08-06", "my-deployment", "gpt-x-2026-01-01", "gpt-4o-mini")
    ]
    assert [pool is pools[0] for pool in pools] == [True, True, True, True, False]


def test_runs_share_their_budget_by_a_ledger(
    store: ColumnStore, server: ScriptedServer, tmp_path: Path
) -> None:
    """Whatever a run sends is in the ledger's account, under the model's group, without a word of the key."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    materialize(table_assets(), store, resource_of(server, ledger=url, api_key="sk-very-secret-4711"))
    lines = open_ledger(url).pools()
    assert {(line.group, line.dimension) for line in lines} >= {("gpt-4o-mini", "requests")}
    assert sum(line.per_minute for line in lines if line.dimension == "requests") > 0
    open_ledger(url).close()
    assert b"4711" not in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite*"))


def test_no_ledger_thread_is_left(store: ColumnStore, server: ScriptedServer) -> None:
    """A run that shares its budget ends its threads with it."""
    others = threading.enumerate()
    materialize(table_assets(), store, resource_of(server))
    begun = {*threading.enumerate()} - {*others}
    assert not [thread.name for thread in begun if thread.name == "pxt-ledger"]


def test_a_ledger_that_is_none_stops_the_run(store: ColumnStore, server: ScriptedServer) -> None:
    """A URL that no ledger can be at is said before anything is sent."""
    said = failure(materialize(table_assets(), store, resource_of(server, ledger="mysql://h/db"), fails=True))
    assert "ledger of the OpenAIResource: The ledger cannot be kept in 'mysql'" in said.description
    assert not server.asked


def test_where_no_ledger_can_be_the_run_goes_on_alone(
    store: ColumnStore,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A storage directory that cannot be written costs the sharing, not the run, and is said."""

    def unwritable(_: Path | None) -> str:
        raise PermissionError(13, "Permission denied", "/storage")

    monkeypatch.setattr("pxt_assets.api.openai_resource.default_ledger_url", unwritable)
    with caplog.at_level("WARNING", logger="pxt_assets"):
        materialize(table_assets(), store, resource_of(server))
    assert len(server.asked) == 2
    assert "not shared with other processes" in caplog.text
    assert "/storage" in caplog.text
