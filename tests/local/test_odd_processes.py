"""Functions that do in worker processes what a worker must stand: fork, leave children, return values of their own classes."""

import signal
import sys
import textwrap
from pathlib import Path

import pytest

from pxt_assets import ColumnStore
from pxt_assets.errors import CellError
from pxt_assets.local.process_worker import ProcessWorker
from pxt_assets.local.worker_pool import WorkerPool
from pxt_assets.local.worker_server import Functions
from tests.local import misplaced, placed
from tests.local.test_on_processes import SCRIPT, is_alive, run, running, until
from tests.local.tickets import Tickets
from tests.runs import values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "told"
    made.mkdir()
    return made


def children(folder: Path) -> list[int]:
    return [int(text.removeprefix("child ")) for _, text in placed.told(folder) if text.startswith("child ")]


def test_a_process_that_a_function_forks_answers_nothing(tickets: Tickets, folder: Path):
    """It returns into the worker's loop too; each row has its own value, and the forked process ends."""
    numbers = list(range(8))
    cells = tickets.cells(lambda t: misplaced.forking(t.n, folder=str(folder)), n=numbers)
    assert cells == [10 * n for n in numbers]
    pids = {pid for pid, _ in placed.told(folder)}
    assert len(pids) == 2
    until(lambda: not any(map(is_alive, pids)))


def test_a_worker_is_known_to_have_died_although_its_child_lives(tickets: Tickets, folder: Path):
    """The run goes on at once, and the child ends with its worker."""
    cells = tickets.cells(
        lambda t: misplaced.dying_with_a_child(t.body, folder=str(folder)), on_error="abort"
    )
    assert cells == ["A", "B"]
    (child,) = children(folder)
    until(lambda: not is_alive(child), 30)


def test_what_a_function_leaves_behind_ends_with_the_runs_process(folder: Path, tmp_path: Path):
    """Also where nobody is left who could end it."""
    script = tmp_path / "run.py"
    call = f"misplaced.leaving_a_child(tbl.body, folder={str(folder)!r})"
    text = SCRIPT.replace("import placed", "import misplaced").replace("a{{i}}", "endless")
    script.write_text(text.format(call=call, rows=1))
    with running(script) as process:
        until(lambda: len(children(folder)) == 1)
        process.send_signal(signal.SIGKILL)
        pids = {*children(folder), *(pid for pid, _ in placed.told(folder))}
        until(lambda: not any(map(is_alive, pids)))


def test_one_plain_function_may_be_several(tickets: Tickets):
    """Of lists of rows' values, and of lists as values."""
    cells = tickets.cells(
        lambda t: {"a": misplaced.of_rows(t.n), "b": misplaced.of_lists([t.n, t.n, t.n])}, n=[1, 2, 3, 4]
    )
    assert cells == [{"a": 2, "b": [3, 3, 3]}] * 4


def test_values_of_classes_of_a_workers_own_are_plain():
    """The run's process may not have the class."""
    functions = Functions.__new__(Functions)
    returned = [misplaced.Text("a"), misplaced.Number(3), True, None, 0.5]
    functions._answer = lambda batch: returned  # type: ignore[method-assign]
    answer = functions.answer(b"\x80\x04N.")
    assert b"misplaced" not in answer
    assert b"builtins" in answer


def test_a_value_of_a_class_of_a_script(tmp_path: Path):
    """The worker has imported it by another name than the script's own."""
    script = tmp_path / "run.py"
    text = SCRIPT.replace("[text.upper() + Suffix.text for", "[Own(text.upper()) for")
    script.write_text(
        text.replace("class Suffix:\n    text", "class Own(str):\n    text").format(
            call="shout(tbl.body)", rows=2
        )
    )
    with running(script) as process:
        out, errors = process.communicate(timeout=150)
    assert out.split() == ["A0", "A1"], errors


def test_a_function_of_a_script_spawns_processes(tmp_path: Path):
    """They import the script as multiprocessing does."""
    script = tmp_path / "run.py"
    pool = 'multiprocessing.get_context("spawn").Pool(1).map_async(upper, texts).get(120)'
    text = SCRIPT.replace("[text.upper() + Suffix.text for text in texts]", pool)
    text = text.replace('class Suffix:\n    text = ""', "def upper(text):\n    return text.upper()")
    text = text.replace("import tempfile", "import multiprocessing\nimport tempfile")
    text = text.replace("workers=1)", 'workers=1, version="1")')
    script.write_text(text.format(call="shout(tbl.body)", rows=2))
    with running(script) as process:
        out, errors = process.communicate(timeout=240)
    assert out.split() == ["A0", "A1"], errors[-2_000:]


@pytest.mark.parametrize("answer", [b"no pickle", b"\x80\x04\x8c\x0eno_such_module\x8c\x01a\x93."])
def test_what_the_runs_process_cannot_read_is_an_error_of_its_rows(answer: bytes):
    """Rather than the end of the run; the worker goes on."""

    class Odd:
        def answer(self, request: bytes) -> bytes:
            return b"\x80\x04N." if b"FunctionAddress" in request else answer

        def close(self) -> None:
            raise AssertionError

    pool = WorkerPool(Odd, 1)
    with pytest.raises(CellError, match="the run's process cannot read its values") as error:
        pool._compute(placed.with_bang, [{"texts": "a"}])
    assert error.value.divisible


def test_arguments_that_cannot_be_sent_are_an_error_of_their_rows():
    """Such as JSON of great depth."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    started: list[ProcessWorker] = []
    pool = WorkerPool(lambda: started.append(ProcessWorker(1)) or started[-1], 1)
    with pytest.raises(CellError, match="its arguments cannot be sent to a worker: RecursionError"):
        pool._compute(placed.with_bang, [{"texts": deep}])
    assert started == []
    while deep:
        deep = deep.pop()  # type: ignore[assignment]


def test_a_module_of_a_package_without_init(store: ColumnStore, tmp_path: Path):
    """Which Dagster loads by its name, from a working directory that is no longer on the path."""
    from dagster._core.code_pointer import load_python_module

    package = tmp_path / "bare_package"
    package.mkdir()
    (package / "placed_there.py").write_text(
        textwrap.dedent(
            """
            from pxt_assets import udf

            @udf(batch_size=4, on="processes", workers=1)
            def f(texts: list[str]) -> list[str]:
                return [text.upper() for text in texts]
            """
        )
    )
    path = [*sys.path]
    module = load_python_module("bare_package.placed_there", str(tmp_path))
    sys.path[:] = path
    assert str(tmp_path) not in sys.path
    run(lambda: module.f, store)
    assert values(store, "tickets/c") == ["A", "B"]
