"""Killed at any step, the next process goes on: each request is answered by one line that is paid for, none is dropped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pxt_assets.compute.deferred import record_folder
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.storage import atomic_file
from tests.compute.deferred.columns import Answers, Rows, World, ask, run, said
from tests.fake_batches import Died, FakeBatches

ROWS: Rows = {
    "p": [ask("a"), ask("b"), ask("c")],
    "q": [ask("a"), ask("d", "gpt-6-sol")],
    "r": [ask("e")],
}


class Life:
    """A process that ends before its n-th step: a call of the API, or a change of the store. After that nothing works."""

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps
        self.taken = 0

    def step(self) -> None:
        self.taken += 1
        if self.steps is not None and self.taken >= self.steps:
            raise Died(f"step {self.steps}")


class MortalApi:
    """The API, as a process has it that ends."""

    is_azure = False

    def __init__(self, api: FakeBatches, life: Life) -> None:
        self._api, self._life = api, life

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)

        async def mortal(*args: Any) -> Any:
            self._life.step()
            return await call(*args)

        return mortal

    async def lines(self, file_id: str) -> AsyncIterator[list[bytes]]:
        async for lines in self._api.lines(file_id):
            for line in lines:
                self._life.step()
                yield [line]


def mortal_store(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes the store is a step."""

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            life.step()
            return change(*args, **kwargs)

        return step

    monkeypatch.setattr(record_folder, "replace_atomically", mortal(atomic_file.replace_atomically))
    monkeypatch.setattr(record_folder, "remove", mortal(atomic_file.remove))
    monkeypatch.setattr(atomic_file, "_sync", lambda _: None)  # no power fails here


def attempt(world: World, life: Life, rows: Rows = ROWS) -> Answers:
    with pytest.MonkeyPatch.context() as monkeypatch:
        mortal_store(life, monkeypatch)
        column: DeferredColumn = world.column(MortalApi(world.api, life))
        return asyncio.run(run(world, rows, column))


def check_end(world: World, answers: Answers, rows: Rows = ROWS) -> None:
    requests = {request.digest: request for some in rows.values() for request in some}
    assert world.api.paid == dict.fromkeys((digest.hex() for digest in requests), 1)
    for partition, some in rows.items():
        for request in some:
            text = request.body["messages"][0]["content"]
            assert said(answers[partition][request.digest]) == f"re: {text}"
    assert world.names == []
    assert world.api.files == {}, "files are left at the server"


def steps_of_a_life(folder: Path) -> int:
    life = Life()
    attempt(World(folder), life)
    return life.taken


def test_killed_once_at_each_step(tmp_path: Path) -> None:
    steps = steps_of_a_life(tmp_path / "whole")
    assert steps > 30
    for step in range(1, steps + 1):
        world = World(tmp_path / f"{step}")
        with pytest.raises(Died):
            attempt(world, Life(step))
        world.clock.now += 60
        check_end(world, attempt(world, Life()))


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 2_000)), max_size=8))
def test_killed_again_and_again(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[tuple[int, int]]
) -> None:
    world = World(tmp_path_factory.mktemp("lives"))
    for step, pause in deaths:
        try:
            attempt(world, Life(step))
            break
        except Died:
            world.clock.now += pause
    world.clock.now += 60
    rows = {partition: [*some, ask("new")] for partition, some in ROWS.items()}  # and a row has come
    check_end(world, attempt(world, Life(), rows), rows)
