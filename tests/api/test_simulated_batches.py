"""Batches of the embedded simulator, which outlive the run that submitted them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from pxt_assets import OpenAIResource
from pxt_assets.api.batches import BatchApi, BatchState
from tests.simulated_clock import turn_clock_of_instance

T = TypeVar("T")
LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello."}]},
}


def run(openai: OpenAIResource, call: Callable[[BatchApi], Awaitable[T]], storage: Path | None = None) -> T:
    """What `call(batch_api)` comes to in a run of its own, of an instance with that storage directory."""
    instance = SimpleNamespace(is_ephemeral=storage is None, storage_directory=lambda: str(storage))
    context: Any = SimpleNamespace(instance=instance)
    openai.setup_for_execution(context)

    async def in_run() -> T:
        async with openai.batch_api() as api:
            return await call(api)

    try:
        return asyncio.run(in_run())
    finally:
        openai.teardown_after_execution(context)


async def submit(api: BatchApi) -> BatchState:
    """A batch of one line."""
    path = Path.cwd() / "lines.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    file_id = await api.upload(path, "a.jsonl")
    return await api.create(file_id, "/v1/chat/completions", "a")


async def find(api: BatchApi) -> BatchState | None:
    """The batch of that name."""
    return await api.find("a", 0.0)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_next_run_of_an_instance_finds_the_batch(tmp_path: Path) -> None:
    """The simulator that took it has ended with its run; its clock goes on meanwhile."""
    options: dict[str, Any] = {"batch_seconds": 3_600, "ledger": "memory"}
    submitted = run(OpenAIResource.simulated(**options), submit, tmp_path)
    again = OpenAIResource.simulated(**options)
    turn_clock_of_instance(tmp_path, again, 3_600)
    found = run(again, find, tmp_path)
    assert found is not None
    assert (found.id, found.status, found.completed) == (submitted.id, "completed", 1)


def test_without_an_instance_a_batch_ends_with_its_simulator() -> None:
    """Nothing is left behind."""
    openai = OpenAIResource.simulated(ledger="memory")
    assert run(openai, submit).name == "a"
    assert run(openai, find) is None
