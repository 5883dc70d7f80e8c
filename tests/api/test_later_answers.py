"""What an OpenAIResource gives for answers that come later."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import OpenAIResource
from pxt_assets.errors import FatalApiError, RunError
from pxt_assets.throttle.ledger import open_ledger
from tests.api.batches.api_server import ApiServer, Reply, batch, error

LIMIT_TEXT = "Enqueued token limit reached for gpt-6-luna. Limit: 90,000 enqueued tokens."


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _: Reply(batch())).running() as running:
        yield running


def resource(server: ApiServer, **more: Any) -> OpenAIResource:
    return OpenAIResource(
        **{"base_url": server.base_url, "api_key": "sk-secret-4711", "ledger": "memory", **more}
    )


def status_of(openai: OpenAIResource, **options: Any) -> str:
    async def main() -> str:
        async with openai.batch_api(**options) as api:
            return (await api.retrieve("batch_1")).status

    return asyncio.run(main())


def test_batches_are_asked_for_in_the_resources_name(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its key, organization and project, also out of the environment and outside of runs."""
    monkeypatch.setenv("THE_KEY", "sk-secret-4712")
    openai = resource(server, api_key=dg.EnvVar("THE_KEY"), organization="org-1", project="proj-1")
    assert status_of(openai) == "validating"
    (asked,) = server.asked
    sent = [asked.headers[name] for name in ("authorization", "openai-organization", "openai-project")]
    assert sent == ["Bearer sk-secret-4712", "org-1", "proj-1"]


def test_azure_is_told_by_its_version_or_its_host(server: ApiServer) -> None:
    async def is_azure(**fields: Any) -> bool:
        async with resource(server, **fields).batch_api() as api:
            return api.is_azure

    assert not asyncio.run(is_azure())
    assert asyncio.run(is_azure(api_version="2025-04-01-preview"))
    assert asyncio.run(is_azure(base_url="https://name.openai.azure.com/openai/v1"))
    assert not asyncio.run(is_azure(base_url="https://azure.com.example.org/v1"))


def test_faults_end_after_the_time_that_is_given(server: ApiServer) -> None:
    """A sensor waits for no outage; a run as long as its resource says."""
    server.route = lambda _: error(500, "boom")
    with pytest.raises(RunError, match="500: boom"):
        status_of(resource(server, max_retries=0), outage_timeout=0.0)
    assert len(server.asked) == 1


def test_responses_are_fetched(server: ApiServer) -> None:
    server.route = lambda _: Reply({"id": "resp_1", "status": "queued"})

    async def main() -> str:
        async with resource(server).background_api() as api:
            return (await api.fetch("resp_1")).status

    assert asyncio.run(main()) == "queued"


def test_no_key_is_an_error(server: ApiServer) -> None:
    with pytest.raises(FatalApiError, match="api_key of the OpenAIResource is empty"):
        status_of(resource(server, api_key=" "))


def test_a_configured_queue_bounds_what_is_on_its_way(server: ApiServer) -> None:
    """By model or by its family, whose snapshots share it."""
    queue = resource(server, api_key="sk-configured", batch_queue_tokens={"gpt-6-luna": 100}).batch_queue()
    assert queue.enqueue("a", "gpt-6-luna-2026-09-01", 60)
    assert queue.room("gpt-6-luna") == 40
    assert not queue.enqueue("b", "gpt-6-luna", 41)
    assert queue.room("gpt-6-sol") == float("inf")
    queue.submitted("a")
    queue.release("a")
    assert queue.room("gpt-6-luna") == 100


def test_a_learned_limit_holds_for_all_processes_of_a_ledger(server: ApiServer, tmp_path: Path) -> None:
    """And for this account alone."""
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    queue = resource(server, ledger=ledger).batch_queue()
    assert queue.learn("gpt-6-luna", LIMIT_TEXT) == 90_000
    assert queue.learn("gpt-6-sol", "try again later") is None
    queue.enqueue("a", "gpt-6-luna", 50_000)
    assert resource(server, ledger=ledger).batch_queue().room("gpt-6-luna") == 40_000
    other = resource(server, ledger=ledger, api_key="sk-another-key").batch_queue()
    assert other.room("gpt-6-luna") == float("inf")
    open_ledger(ledger).close()


def test_a_ledger_that_cannot_be_reached_delays_nothing(server: ApiServer, tmp_path: Path) -> None:
    """This process goes on with what it knows, and says what was released as soon as it can."""
    folder = tmp_path / "gone"
    folder.mkdir()
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    queue = resource(server, ledger=ledger).batch_queue()
    queue.learn("gpt-6-luna", LIMIT_TEXT)
    assert queue.enqueue("a", "gpt-6-luna", 90_000)
    open_ledger(ledger).close()
    folder.rename(tmp_path / "elsewhere")
    assert queue.enqueue("b", "gpt-6-luna", 1_000)
    queue.release("a")
    queue.learn("gpt-6-luna", LIMIT_TEXT)
    assert queue.room("gpt-6-luna") == 89_000
    (tmp_path / "elsewhere").rename(folder)
    assert queue.room("gpt-6-luna") == 90_000
    open_ledger(ledger).close()


@pytest.mark.parametrize("tokens", [0, -5])
def test_a_queue_has_room_for_something(tokens: int) -> None:
    with pytest.raises(
        ValueError, match=r"batch_queue_tokens\['m'\]: got -?\d\.0, allowed: more than 0 tokens"
    ):
        OpenAIResource(batch_queue_tokens={"m": tokens})


def test_a_simulators_queue_is_its_own() -> None:
    """Its account is no key's."""
    openai = OpenAIResource.simulated()
    try:
        assert openai.batch_queue().room("gpt-6-luna") == float("inf")
    finally:
        openai.teardown_after_execution(dg.build_init_resource_context())
