"""Functions that run in worker processes: what they give, what becomes of their rows when one dies, and how they end."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import PIL.Image
import pytest

from pxt_assets import ColumnStore, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.local import process_worker
from pxt_assets.values.types import Image
from tests.local import placed
from tests.local.tickets import Tickets
from tests.runs import failure, values

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "told"
    made.mkdir()
    return made


class TestValues:
    def test_batches_are_computed_in_workers_that_load_their_model_once(self, tickets: Tickets, folder: Path):
        """Each row once, in the order of rows, whichever worker had it."""
        numbers = list(range(41))
        cells = tickets.cells(lambda t: placed.doubled(t.n, folder=str(folder)), n=numbers)
        assert cells == [2 * n for n in numbers]
        told = placed.told(folder)
        workers = {pid for pid, _ in told}
        assert sorted(text for _, text in told if text != "loaded") == sorted(
            f"batch {n}" for n in numbers[::2]
        )
        assert sorted(pid for pid, text in told if text == "loaded") == sorted(workers)
        assert len(workers) <= 2
        assert os.getpid() not in workers
        assert not any(map(is_alive, workers))

    def test_all_kinds_of_values_come_back(self, tickets: Tickets):
        """As they do from a function that runs in threads."""
        cells = tickets.cells(
            lambda t: {
                "parts": placed.parts(t.body),
                "size": placed.size(t.body),
                "vector": placed.vectors(t.body),
                "closing": placed.with_bang(t.body),
                "other": placed.with_dot(t.body),
            },
            body=["a", "some words"],
        )
        assert cells == [
            {
                "parts": {"words": 1, "size": "short"},
                "size": "short",
                "vector": [1, 0.5],
                "closing": "a!",
                "other": "a.",
            },
            {
                "parts": {"words": 2, "size": "long"},
                "size": "long",
                "vector": [10, 0.5],
                "closing": "some words!",
                "other": "some words.",
            },
        ]

    def test_images_go_and_come(self, tickets: Tickets):
        """Decoded and encoded in the worker."""
        data = io.BytesIO()
        PIL.Image.new("RGB", (3, 2), "red").save(data, "PNG")
        (cell,) = tickets.cells(
            lambda t: placed.turned(t.photo), photo=[data.getvalue()], schema={"photo": Image}
        )
        assert PIL.Image.open(io.BytesIO(cell["bytes"])).size == (2, 3)

    def test_what_it_raises_is_the_rows_error(self, tickets: Tickets):
        """Also what no other process can be sent; the worker goes on."""
        cells = tickets.cells(lambda t: placed.failing(t.body), body=["a", "odd", "b", "exit", "c"])
        assert cells == [
            "A",
            ("OddError", "failing: OddError"),
            "B",
            ("RuntimeError", "failing: it raised SystemExit: 3"),
            "C",
        ]

    def test_where_it_runs_names_no_result(self, tickets: Tickets):
        """What threads computed is not computed again by workers: none is started."""
        threads = placed.in_threads
        moved = type(threads)(threads.function, batch_size=4, on="processes")
        tickets.run(lambda t: threads(t.body))
        with no_process_starts():
            assert tickets.cells(lambda t: moved(t.body)) == ["A", "B"]


class TestDeaths:
    def test_a_worker_that_is_killed_costs_no_row(self, tickets: Tickets, folder: Path):
        """Another one computes its batch."""
        cells = tickets.cells(
            lambda t: placed.dying(t.body, folder=str(folder)),
            body=["a", "once 1", "b", "c", "d", "once 2"],
            on_error="abort",
        )
        assert cells == ["A", "ONCE 1", "B", "C", "D", "ONCE 2"]

    def test_a_row_that_ends_its_worker_fails_alone(self, tickets: Tickets, folder: Path):
        """The batch is halved until that row stands alone, and says how the process ended."""
        cells = tickets.cells(
            lambda t: placed.dying(t.body, folder=str(folder)), body=["a", "b", "always", "c"]
        )
        message = (
            "dying: the worker died while it computed this row, 2 times: its process ended with exit code 3"
        )
        assert cells == ["A", "B", ("WorkerDied", message), "C"]

    def test_workers_end_with_a_run_that_fails(self, tickets: Tickets, folder: Path):
        """What was finished by then is kept."""
        result = tickets.run(
            lambda t: placed.dying(t.body, folder=str(folder)),
            body=["a", "b", "c", "d", "always"],
            on_error="abort",
            fails=True,
        )
        assert "WorkerDied" in failure(result).description
        assert not any(is_alive(pid) for pid, _ in placed.told(folder))
        for file in folder.iterdir():
            file.unlink()
        tickets.run(
            lambda t: placed.dying(t.body, folder=str(folder)),
            body=["a", "b", "c", "d", "always"],
            fails=False,
        )
        assert {text for _, text in placed.told(folder)} == {"always"}

    @pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
    def test_workers_end_with_the_runs_process(self, number, folder: Path, tmp_path: Path):
        """However it ends, and although they compute."""
        script = tmp_path / "run.py"
        script.write_text(SCRIPT.format(call=f"placed.endless(tbl.body, folder={str(folder)!r})", rows=3))
        with running(script) as process:
            until(lambda: len(placed.told(folder)) == 2)
            process.send_signal(getattr(signal, number))
            workers = {pid for pid, _ in placed.told(folder)}
            until(lambda: not any(map(is_alive, workers)))
            assert len(workers) == 2


class TestWhereItIsFound:
    def test_a_function_without_a_name_is_refused(self, tickets: Tickets):
        """Before anything is computed; the message says what to do."""

        @udf(batch_size=4, on="processes")
        def inner(texts: list[str]) -> list[str]:
            return texts

        with no_process_starts():
            result = tickets.run(lambda t: inner(t.body), fails=True)
        assert failure(result).description.startswith(
            'tickets/c: udf inner: on="processes" demands a function that another process can import'
        )

    def test_a_module_that_dagster_loads_by_its_file(self, store: ColumnStore, tmp_path: Path):
        """With a module beside it, from a folder that is no longer on the path."""
        load = load_definitions(tmp_path)
        assert values_of_run(load, store) == ["A!", "B!"]

    def test_a_module_that_a_worker_cannot_import(self, store: ColumnStore, tmp_path: Path):
        """The run says which, and why."""
        load = load_definitions(tmp_path)
        (tmp_path / "beside.py").write_text("import no_such_module\n")
        said = failure(run(load, store, fails=True)).description
        file = tmp_path / "location.py"
        assert said.startswith(
            f"tickets/c: udf f: a worker cannot import it from location ({file}): ModuleNotFoundError: "
            f"No module named 'no_such_module', in {tmp_path / 'beside.py'}:1"
        )

    def test_a_file_that_was_changed_meanwhile(self, store: ColumnStore, tmp_path: Path):
        """Its results would have the name of those of another function."""
        load = load_definitions(tmp_path)
        file = tmp_path / "location.py"
        file.write_text(file.read_text().replace("+ MARK", "+ MARK * 2"))
        said = failure(run(load, store, fails=True)).description
        assert "a worker found another version of it in location" in said

    def test_a_function_of_a_script(self, tmp_path: Path):
        """The script is imported by each worker, but not started."""
        script = tmp_path / "run.py"
        script.write_text(SCRIPT.format(call="shout(tbl.body)", rows=2))
        with running(script) as process:
            out, _ = process.communicate(timeout=150)
        assert out.split() == ["A0", "A1"]

    def test_a_script_that_starts_its_run_when_it_is_imported(self, tmp_path: Path):
        """Would start one in each worker, whose workers would start others."""
        script = tmp_path / "run.py"
        unguarded = SCRIPT.format(call="shout(tbl.body)", rows=2).replace('__name__ == "__main__"', "True")
        script.write_text(unguarded)
        with running(script) as process:
            _, errors = process.communicate(timeout=150)
        assert process.returncode != 0
        assert 'put what starts it below `if __name__ == "__main__":`' in errors


class TestDeclaration:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"on": "process"}, 'udf: got on=\'process\', allowed: "processes", "ray", or None'),
            ({"on": "processes", "workers": 0}, "udf: got workers=0, allowed: a number of workers >= 1"),
            ({"workers": 2}, "udf: got workers=2 without on=, allowed: on="),
        ],
    )
    def test_what_is_no_place_is_refused(self, options, message):
        """While definitions load."""
        with pytest.raises(DefinitionError) as error:
            udf(**options)
        assert str(error.value).startswith(message)

    def test_an_async_function_is_refused(self):
        """It waits rather than computes."""

        async def later(text: str) -> str:
            return text

        with pytest.raises(DefinitionError, match='udf later: got on="processes" for an async function'):
            udf(on="processes")(later)


SCRIPT = textwrap.dedent(
    """
    import tempfile
    import dagster as dg
    import pyarrow as pa
    from pxt_assets import ColumnStore, Table, udf
    from tests.local import placed

    class Suffix:
        text = ""

    @udf(batch_size=2, on="processes", workers=1)
    def shout(texts: list[str]) -> list[str]:
        return [text.upper() + Suffix.text for text in texts]

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({{"id": range({rows}), "body": [f"a{{i}}" for i in range({rows})]}})

    tbl = Table(tickets, key="id")
    tbl.add_computed_column(c={call})

    if __name__ == "__main__":
        with tempfile.TemporaryDirectory() as base:
            store = ColumnStore(base_path=base)
            result = dg.materialize(
                [tickets, *tbl.assets],
                resources={{"columns": store}},
                run_config={{"loggers": {{"console": {{"config": {{"log_level": "CRITICAL"}}}}}}}},
            )
            print(*result.asset_value(["tickets", "c"])["c"])
    """
)


@contextmanager
def running(script: Path) -> Iterator["subprocess.Popen[str]"]:
    """A script that runs, and is killed with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(script.parent)}
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def load_definitions(folder: Path) -> Callable[[], dg.Definitions]:
    """Loads a file as Dagster does for `dagster dev -f location.py -d folder`."""
    from dagster._core.code_pointer import load_python_file

    (folder / "beside.py").write_text('MARK = "!"\n')
    (folder / "location.py").write_text(
        textwrap.dedent(
            """
            from beside import MARK
            from pxt_assets import udf

            @udf(batch_size=4, on="processes", workers=1)
            def f(texts: list[str]) -> list[str]:
                return [text.upper() + MARK for text in texts]
            """
        )
    )
    for name in ("location", "beside"):
        sys.modules.pop(name, None)
    path = [*sys.path]
    module = load_python_file(folder / "location.py", str(folder))
    assert sys.path == path
    return lambda: module.f


def run(load: Callable, store: ColumnStore, fails: bool = False) -> dg.ExecuteInProcessResult:
    return Tickets(store).run(lambda t: load()(t.body), on_error="abort", fails=fails)


def values_of_run(load: Callable, store: ColumnStore) -> list:
    run(load, store)
    return values(store, "tickets/c")


@contextmanager
def no_process_starts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_worker.subprocess, "Popen", None)
        yield


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool], seconds: float = 150) -> None:
    """Waits until something holds of a process."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it does not hold after {seconds} s"
        time.sleep(0.02)
