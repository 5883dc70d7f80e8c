"""The command line, as a user calls it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pxt_assets.cli.commands import main

SOLVED = ("solved", "solved/body_idx_vectors", "solved/body_idx")
TICKETS = (
    "tickets",
    "tickets/response",
    "tickets/summary",
    "tickets/embed",
    "tickets/moderation",
    "tickets/flagged",
    "tickets/triage",
    "tickets/urgent",
    "tickets/topic",
    "tickets/context",
    "tickets/draft",
    "tickets/reply",
)
PHOTOS = (
    "photos",
    "photos/seen",
    "photos/caption",
    "photos/reply",
    "photos/heard",
    "photos/transcript",
    "photos/edit",
    "photos/edited",
)


def pxt_assets(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pxt-assets ...` in a folder, without a key and without a Dagster home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PXT_", "OPENAI_", "DAGSTER_"))}
    command = [sys.executable, "-m", "pxt_assets", *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def pxt_assets_here(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The same in this process, which has imported already what a new one must."""
    for name in os.environ:
        if name.startswith(("PXT_", "OPENAI_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", "")  # so that what the command sets ends with the test
    monkeypatch.chdir(folder)
    return CliRunner().invoke(main, arguments)


def figures(output: str, asset: str) -> dict[str, str]:
    """An asset's row of the table at the end, by the name of the column."""
    (heading,) = re.findall(r"^asset, and its folder +(.*)$", output, re.MULTILINE)
    (row,) = re.findall(rf"^{re.escape(asset)} +(.*)$", output, re.MULTILINE)
    return dict(zip(heading.split(), row.split(), strict=False))


def test_the_demo_materializes_all_assets_and_says_what_it_took(tmp_path, monkeypatch):
    """`pxt-assets demo` prints per asset its figures, where the files are, and how to open them in the browser."""
    done = pxt_assets(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^((?:solved|tickets|photos)\S*) {2,}\d", done.stdout, re.MULTILINE) == [
        *SOLVED,
        *TICKETS,
        *PHOTOS,
    ]
    assert {figures(done.stdout, asset)["rows"] for asset in SOLVED} == {"24"}
    assert {figures(done.stdout, asset)["rows"] for asset in TICKETS} == {"80"}
    assert {figures(done.stdout, asset)["rows"] for asset in PHOTOS} == {"10"}
    assert figures(done.stdout, "tickets/response")["requests"] == "79"  # two tickets have the same text
    # The empty text, and the one that is too long.
    assert figures(done.stdout, "tickets/embed")["failed"] == "2"
    assert "2 rows failed:\n  tickets/embed, 2026-03-04, row id='T-1032': BadRequestError" in done.stdout
    assert (
        "They are meant to: one of the demo's tickets is longer than the model takes, and another"
        in done.stdout
    )
    assert {figures(done.stdout, asset)["failed"] for asset in PHOTOS[1:]} == {"0"}
    assert "cost is simulated" in done.stdout
    assert re.search(r"^total +[\d,]+ +[\d,]+ +more than \$0\.1\d *$", done.stdout, re.MULTILINE)
    unknown = "10 rows of photos/reply, 10 rows of photos/heard"
    assert f"The cost of {unknown} is unknown: the price table" in done.stdout
    lines = re.findall(r"^(\S+): ([\d,]+) of \2 rows", done.stdout, re.MULTILINE)
    assert sorted({*lines}) == sorted(lines)  # one for each computed column
    assert {asset for asset, _ in lines} == {*SOLVED[1:2], *TICKETS[1:], *PHOTOS[1:]}
    store = tmp_path / ".pxt-demo" / "columns"
    assert str(store) in done.stdout
    files = list(store.rglob("*.parquet"))
    assert len(files) == len(TICKETS + PHOTOS) * 5 + len(SOLVED) - 1
    assert not list(store.rglob("*.journal"))
    assert f"DAGSTER_HOME={tmp_path}/.pxt-demo/dagster" in done.stdout
    assert "dg dev -m pxt_assets.demo.definitions\nThen open http://127.0.0.1:3000 and choose" in done.stdout
    assert "Unclosed" not in done.stderr

    again = pxt_assets_here(tmp_path, monkeypatch, "demo")
    assert again.exit_code == 0, again.stderr
    again_response = figures(again.stdout, "tickets/response")
    assert [again_response[name] for name in ("rows", "reused", "failed", "requests")] == [
        "80",
        "80",
        "0",
        "0",
    ]
    assert figures(again.stdout, "tickets/moderation")["requests"] == "0"
    assert figures(again.stdout, "tickets/context")["null"] == "2"  # of the rows that failed before it
    assert {figures(again.stdout, asset)["requests"] for asset in PHOTOS[1:]} == {"0"}
    assert "Reused rows have the answers of an earlier run" in again.stdout


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "north.csv").write_text("nr,text\n1,The tent leaks.\n2,Thank you!\n")
    (folder / "south [1].csv").write_text("nr,text\n1,007\n")
    return folder


def test_the_demo_runs_on_files_of_ones_own(tmp_path, own, monkeypatch):
    """`--data DIR` makes each file of the folder a partition, without photos; `--key` and `--text` name its columns."""
    arguments = ("demo", "--data", str(own), "--key", "nr", "--text", "text")
    done = pxt_assets_here(tmp_path, monkeypatch, *arguments)
    assert done.exit_code == 0, done.stderr
    assert figures(done.stdout, "tickets/summary")["rows"] == "3"
    assert "PXT_DEMO_FILES=" in done.stdout
    assert "9 assets, 2 partitions" in done.stdout
    assert "photos" not in done.stdout
    assert "solved" not in done.stdout


def test_a_header_cannot_command_the_terminal(tmp_path, monkeypatch):
    """Names of columns are text of strangers."""
    (tmp_path / "t.csv").write_text("id,\x1b[2Jbody\n")
    done = pxt_assets_here(tmp_path, monkeypatch, "demo", "--data", "t.csv")
    assert done.exit_code == 1
    assert "columns found: `id`, `?[2Jbody`" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not (tmp_path / ".pxt-demo").exists()


def test_a_mistake_in_ones_own_files_is_told_in_a_line(tmp_path, own, monkeypatch):
    """A failed run ends with its cause and exit code 1, not with a traceback."""
    (own / "south [1].csv").write_text("nr,text\n1,a\n1,b\n")
    arguments = ("demo", "--data", str(own), "--key", "nr", "--text", "text")
    done = pxt_assets_here(tmp_path, monkeypatch, *arguments)
    assert done.exit_code == 1
    assert "the key nr is not unique" in done.stderr
    assert "south [1]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "dg dev -m pxt_assets.demo.definitions" in done.stdout  # what was stored can be looked at


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--live"], "OPENAI_API_KEY"),
        (["demo", "--data", "nowhere"], "nowhere is no file and no folder"),
        (["simulate", "--rpm", "-1"], "rpm must be a number > 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(tmp_path, monkeypatch, arguments, message):
    """A wrong argument is answered by what is allowed."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env={"OPENAI_API_KEY": None}).invoke(main, arguments)
    assert done.exit_code != 0
    assert message in done.stderr
    assert not (tmp_path / ".pxt-demo").exists()


@pytest.mark.parametrize("command", ["limits", "demo"])
@pytest.mark.parametrize(
    ("home", "message"),
    [
        ("{here}/nowhere", "'{here}/nowhere', where no folder is: create it, or unset DAGSTER_HOME"),
        ("home", "'home', a relative path, and Dagster wants an absolute one: set it to {here}/home, or"),
        ("{here}/file", "'{here}/file', which is no folder: name a folder, or unset DAGSTER_HOME"),
    ],
)
def test_a_dagster_home_that_dagster_would_not_take_is_told_in_a_line(
    tmp_path, monkeypatch, command, home, message
):
    """Before Dagster is started; nothing is made in its place."""
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env={"DAGSTER_HOME": home.format(here=tmp_path)}).invoke(main, [command])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: DAGSTER_HOME is {message.format(here=tmp_path)}")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home"]


def test_what_needs_no_instance_does_without_its_folder(tmp_path, monkeypatch):
    """A ledger that is named is read, and stores are cleaned."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(
        env={"DAGSTER_HOME": str(tmp_path / "nowhere"), "PXT_DEMO_STORE": str(tmp_path / "store")}
    )
    for arguments in (
        ["limits", "--ledger", "sqlite:///l.sqlite"],
        ["gc", "-m", "pxt_assets.demo.definitions"],
    ):
        done = runner.invoke(main, arguments)
        assert done.exit_code == 0, done.output


def test_simulate_takes_the_options_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of responses in the background; what is not given is as the simulator has it."""
    from pxt_assets import simulator

    served = []
    monkeypatch.setattr(simulator, "serve", lambda options, port, announce: served.append((options, port)))
    given = {
        "batch_seconds": 7.0,
        "batch_queue_limit": 9_000.0,
        "batch_expiry_rate": 0.25,
        "batch_failure_rate": 0.125,
        "background_seconds": 5.0,
        "background_failure_rate": 0.5,
    }
    words = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    for arguments in ([], words):
        done = CliRunner().invoke(main, ["simulate", "--port", "0", *arguments])
        assert done.exit_code == 0, done.output
    assert served == [(simulator.SimulatorOptions(), 0), (simulator.SimulatorOptions(**given), 0)]


def test_simulate_serves_until_it_is_interrupted():
    """`pxt-assets simulate` announces its address, answers there, and ends quietly at Ctrl-C."""
    command = [sys.executable, "-m", "pxt_assets", "simulate", "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        with urllib.request.urlopen(f"{found[0]}/simulator/counters") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 0
    assert errors == ""
