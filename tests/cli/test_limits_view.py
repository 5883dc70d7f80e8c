import dataclasses
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from pxt_assets.api.ledger_url import default_ledger_url
from pxt_assets.cli.commands import main
from pxt_assets.cli.limits_view import instance_ledger, limits_table
from pxt_assets.throttle.ledger import PoolReport
from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest, Measurement
from pxt_assets.throttle.ledger.sql import SqlLedger


def report(group: str = "gpt-4o-mini", *, limit: float | None = 1_200.0, processes: int = 2) -> PoolReport:
    remaining = None if limit is None else 37.4
    return PoolReport(("0123456789ab", group), "requests", limit, limit, remaining, 600.0, processes, 3)


def shown(*pools: PoolReport) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(limits_table(pools))
    return captured.get()


def test_every_pool_has_a_line_with_its_numbers() -> None:
    """Limit, what is left, the rate in use and its share, processes, and 429s of the last minute."""
    other = PoolReport(("fedcba987654", "other"), "requests", None, None, None, 0.0, 0, 0)
    (line,) = [line for line in shown(report(), other).splitlines() if "gpt-4o-mini" in line]
    cells = line.split()
    assert cells == ["01234567", "gpt-4o-mini", "requests", "1,200", "37", "600", "50%", "2", "3"]


def test_a_limit_that_is_not_known_is_said_to_be() -> None:
    """Unknown is not zero."""
    assert shown(report(limit=None)).count("unknown") == 2


def test_large_numbers_fit_a_terminal() -> None:
    """Limits of hundreds of millions leave room for all columns in 80 characters."""
    console = Console(width=80)
    with console.capture() as captured:
        console.print(limits_table([report("gpt-4o-mini", limit=180e6)]))
    assert "180.0M" in captured.get()
    assert "gpt-4o-mini" in captured.get()
    assert "…" not in captured.get()


SIMULATOR = "simulator ab12cd34 rpm=500 tpm=200000"
COLUMNS = ("account", "models", "limit of", "per min", "left", "in use", "share", "processes", "429s", "held")


def drawn(pools: list[PoolReport], width: int, **options: Any) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(limits_table(pools, **options))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
@pytest.mark.parametrize("held", [0.0, 41.0])
@pytest.mark.parametrize("group", ["gpt-6-luna", "gpt-4o-mini-transcribe-diarize-realtime-preview"])
def test_any_width_has_whole_headings_numbers_and_names(width: int, held: float, group: str) -> None:
    """What does not fit is left out or folded, never cut."""
    big = PoolReport(("0123456789ab", group), "requests", 180e6, 180e6, 1_799_999.0, 600_000.0, 2, 3, held)
    lines = drawn([big, PoolReport((SIMULATOR, group), "tokens", 500.0, 500.0, 37.4, 54.0, 1, 0)], width)
    assert max(map(len, lines)) <= width
    heading = lines[1]
    for column in COLUMNS:
        heading = heading.replace(column, "", 1)
    assert heading.strip() == ""
    text = "\n".join(lines)
    assert {"180.0M", "1.8M", "01234567", "simulator"} <= set(text.split())
    assert "…" not in text
    names = lines[1].index("models")
    folded = "".join(line[names : lines[1].index("limit of")].strip() for line in lines[3:])
    assert group in folded


def test_no_more_than_the_whole_limit_is_in_use() -> None:
    """While what was left of it is spent, more goes a minute than flows in."""
    text = shown(PoolReport(("a", "luna"), "requests", 1_200.0, 1_200.0, 37.4, 1_296.0, 2, 3))
    assert "100%" in text
    assert "1,296" in text
    assert "108%" not in text


def test_a_row_of_unknowns_is_left_out() -> None:
    """Nothing can be learned from it."""
    nothing = PoolReport(("a", "sol"), "tokens", None, None, None, 0.0, 1, 0)
    assert "sol" not in shown(report("luna"), nothing)
    assert "No limit is in use, or known yet." in shown(nothing)


def test_idle_keys_are_hidden_unless_all_are_asked_for() -> None:
    """Those that nobody used for more than a day are counted in a line; those without a word to say are not."""
    idle = [
        dataclasses.replace(report(group, processes=0), idle_seconds=86_401.0)
        for group in ("old-1", "old-2", "old-3")
    ]
    idle.append(dataclasses.replace(idle[0], dimension="tokens"))
    idle.append(PoolReport(("b", "old-4"), "tokens", None, None, None, 0.0, 0, 0, 0.0, 86_401.0))
    used = dataclasses.replace(report("luna"), idle_seconds=86_399.0)
    text = shown(used, *idle)
    assert "3 idle keys hidden; --all shows them" in text
    assert "old-" not in text
    everything = "\n".join(drawn([used, *idle], 140, everything=True))
    assert "old-3" in everything
    assert "hidden" not in everything
    assert "1 idle key hidden; --all shows it" in shown(used, idle[0])


def test_a_simulator_is_marked_and_its_options_are_shown() -> None:
    """Also where it is the only account; several are numbered."""
    pool = PoolReport((SIMULATOR, "luna"), "requests", 500.0, 500.0, 37.4, 54.0, 1, 0)
    text = shown(pool)
    (line,) = [line for line in text.splitlines() if "luna" in line]
    assert line.split()[0] == "simulator"
    assert "simulator: rpm=500 tpm=200000" in text
    other = dataclasses.replace(pool, key=("simulator ab12cd34", "sol"))
    text = shown(pool, other)
    assert "simulator 1: no limits" in text
    assert "simulator 2: rpm=500 tpm=200000" in text


def test_pools_in_use_come_first() -> None:
    """What processes draw on now stands above what they did once."""
    text = shown(report("idle", processes=0), report("busy"))
    assert text.index("busy") < text.index("idle")


def test_names_are_no_markup() -> None:
    """A model's name is shown as it is."""
    assert "[red]x" in shown(report("[red]x"))


def test_the_command_reads_the_ledger(tmp_path: Path) -> None:
    """`pxt-assets limits --ledger URL` prints what processes have told that ledger."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = SqlLedger(url)
    opening = Measurement(600.0, 10.0, age=0.0, low=500.0, high=500.0, limit_unknown=True)
    key = ledger.share(("account", "gpt-6-luna")).key
    ledger.exchange(key, ExchangeRequest((LeaseRequest("requests", 5.0, 0.0, measurement=opening),)))
    ledger.close()
    result = CliRunner().invoke(main, ["limits", "--ledger", url])
    assert result.exit_code == 0
    assert "gpt-6-luna" in result.output
    assert "600" in result.output


def test_the_instance_says_where_the_ledger_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DAGSTER_HOME it is the file in that instance's storage, without in the temporary directory."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert instance_ledger() == default_ledger_url(tmp_path / "storage")
    monkeypatch.delenv("DAGSTER_HOME")
    assert instance_ledger() == default_ledger_url(None)


def test_without_an_instance_the_command_says_whose_ledger_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where others are; a ledger that was named needs no such word."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = default_ledger_url(None)
    held_ledger(url, "luna").close()
    said = " ".join(CliRunner().invoke(main, ["limits"]).output.split())
    assert said.startswith(
        f"Rate limits in the ledger at {url} DAGSTER_HOME is not set: this is the ledger of"
    )
    assert said.index("DAGSTER_HOME is not set") < said.index("luna")
    assert said.count("give --ledger URL") == 1
    assert "DAGSTER_HOME" not in CliRunner().invoke(main, ["limits", "--ledger", url]).output


def test_where_else_to_look_is_told_once_though_the_ledger_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above, where it is said whose ledger it is."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = CliRunner().invoke(main, ["limits"]).output
    assert said.splitlines()[-1] == "None yet: no process has sent a request through this ledger."
    assert said.count("--ledger URL") == 1


def test_keys_that_were_idle_for_long_are_hidden_by_the_command(tmp_path: Path) -> None:
    """`--all` shows them."""
    path = tmp_path / "ledger.sqlite"
    held_ledger(f"sqlite:///{path}", "luna", "sol").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE pxt_buckets SET updated = updated - 90000 WHERE pool LIKE '%sol'")
        connection.execute("UPDATE pxt_processes SET seen = seen - 90000 WHERE pool LIKE '%sol'")
    result = CliRunner().invoke(main, ["limits", "--ledger", f"sqlite:///{path}"])
    assert "1 idle key hidden; --all shows it" in result.output
    assert "sol" not in result.output
    assert "sol" in CliRunner().invoke(main, ["limits", "--ledger", f"sqlite:///{path}", "--all"]).output


def test_what_is_no_ledger_is_said() -> None:
    """A wrong URL and a server that is away end the command with a line, and no traceback."""
    for url in ("mysql://host/db", "postgresql://nobody:hunter2@127.0.0.1:9/db"):
        result = CliRunner().invoke(main, ["limits", "--ledger", url])
        assert result.exit_code == 1
        assert "Error: " in result.output
        assert "hunter2" not in result.output
    assert "Error: the ledger at postgresql://127.0.0.1:9/db: " in result.output


def test_a_hold_is_shown_with_the_seconds_that_are_left(tmp_path: Path) -> None:
    """And with the way to end it."""
    assert "held" not in shown(report())
    text = shown(dataclasses.replace(report(), held_seconds=41.7), report("other"))
    (line,) = [line for line in text.splitlines() if "gpt-4o-mini" in line]
    assert line.split()[-2:] == ["42", "s"]
    assert "--clear" in text


def held_ledger(url: str, *groups: str) -> SqlLedger:
    """A ledger with pools that are held, and whose limit is 600."""
    ledger = SqlLedger(url)
    opening = Measurement(600.0, 10.0, age=0.0, low=500.0, high=500.0, limit_unknown=True)
    for group in groups:
        request = ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, measurement=opening),), hold_seconds=50)
        ledger.exchange(ledger.share(("account", group)).key, request)
    return ledger


@pytest.mark.parametrize(("arguments", "left"), [(["--clear", "luna"], ["sol"]), (["--clear"], [])])
def test_holds_and_remembered_limits_are_cleared(
    tmp_path: Path, arguments: list[str], left: list[str]
) -> None:
    """Of the models that are named, or of all."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = held_ledger(url, "luna", "sol")
    result = CliRunner().invoke(main, ["limits", "--ledger", url, *arguments])
    assert result.exit_code == 0
    assert "Cleared: luna" in result.output
    assert [pool.group for pool in ledger.pools() if pool.limit] == left
    assert [pool.group for pool in ledger.pools() if pool.held_seconds] == left
    ledger.close()


def test_which_ledger_it_is_stands_above_the_table(tmp_path: Path) -> None:
    """In one piece, however narrow the terminal."""
    url = f"sqlite:///{tmp_path / ('deep' * 40)}.sqlite"
    held_ledger(url, "luna").close()
    result = CliRunner().invoke(main, ["limits", "--ledger", url])
    assert result.output.splitlines()[0] == f"Rate limits in the ledger at {url}"
    cleared = CliRunner().invoke(main, ["limits", "--ledger", url, "--clear"])
    assert f"Cleared: luna; in the ledger at {url}. " in cleared.output


@pytest.mark.parametrize("arguments", [[], ["--clear"], ["--clear", "gpt-4o"]])
def test_a_ledger_without_pools_names_itself_and_where_else_to_look(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Runs may have another: to clear all of this one would help nobody."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    result = CliRunner().invoke(main, ["limits", "--ledger", url, *arguments])
    assert result.exit_code == (arguments[1:] == ["gpt-4o"])
    assert f"the ledger at {url}" in result.output
    said = " ".join(result.output.split())
    assert "run this in a shell with the same DAGSTER_HOME, or give --ledger URL" in said
    assert "clears all" not in said


def test_clearing_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    """A wrong name ends the command with a line."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    held_ledger(url, "luna").close()
    result = CliRunner().invoke(main, ["limits", "--ledger", url, "--clear", "lunar"])
    assert result.exit_code == 1
    assert "there are: luna" in result.output
