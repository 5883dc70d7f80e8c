"""Dagster's commands on a code location: a computed column is no other than a plain asset."""

import os
import subprocess
import sys
from pathlib import Path

LOCATION = Path(__file__).with_name("location.py")
ROOT = Path(__file__).parents[3]


def dagster(kind: str, home: Path, *command: str) -> str:
    """What a command prints; `kind` is `plain` or `computed`."""
    (home / kind).mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home / kind),
        "CONFORMANCE": kind,
        "CONFORMANCE_FOLDER": str(home / kind / "stored"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "dagster", *command, "-f", str(LOCATION)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lists_of_a_selection_are_the_same(tmp_path: Path) -> None:
    command = ["asset", "list", "--select", 'key:"tickets"+']
    plain = dagster("plain", tmp_path, *command)
    assert "tickets/shout" in plain
    assert dagster("computed", tmp_path, *command) == plain


def test_a_partition_is_materialized(tmp_path: Path) -> None:
    """In a process of its own, from a code location that it loads."""
    dagster("computed", tmp_path, "asset", "materialize", "--select", "*", "--partition", "tue")
    assert (tmp_path / "computed/stored/tickets/shout/tue.parquet").exists()
