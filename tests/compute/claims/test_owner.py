"""Owners of claims: when a process is surely no more, and when that cannot be known."""

import os
import subprocess
import sys
from typing import Any

import pytest

from pxt_assets.compute.claims.owner import describe_owner, is_dead, owner_record, parse_owner


@pytest.fixture(scope="module")
def gone() -> dict[str, Any]:
    """The record of a process of this machine that has ended."""
    script = "import os; print(os.getpid())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return {**owner_record("run-1"), "pid": int(done.stdout), "started": 1}


def test_this_process_lives() -> None:
    """Its record is its own."""
    assert not is_dead(owner_record("run-1"))


def test_a_process_that_has_ended_is_dead(gone: dict[str, Any]) -> None:
    """Its number tells, where it is a number of this system's."""
    assert is_dead(gone)


def test_a_number_that_is_another_processs_by_now_does_not_keep_it_alive(gone: dict[str, Any]) -> None:
    """Numbers come round; the time at which a process started does not."""
    assert is_dead({**gone, "pid": os.getpid()})


@pytest.mark.parametrize("name", ["host", "machine", "boot", "pid_namespace"])
@pytest.mark.parametrize("said", ["another", None, ...])
def test_a_number_from_elsewhere_says_nothing(gone: dict[str, Any], name: str, said: Any) -> None:
    """Containers may have the same host name and network address, and see none of each other's processes."""
    owner = {key: value for key, value in gone.items() if key != name}
    if said is not ...:
        owner[name] = said
    assert not is_dead(owner)


@pytest.mark.parametrize("pid", [None, "x", 10**30, -1])
def test_what_is_no_process_number_says_nothing(gone: dict[str, Any], pid: Any) -> None:
    """A claim may be anybody's text."""
    assert not is_dead({**gone, "pid": pid, "started": None})


@pytest.mark.parametrize("text", [b"", b"\xff{", b"[1]", b'{"run_id'])
def test_a_text_that_is_no_claim_names_nobody(text: bytes) -> None:
    """Half-written, or not ours."""
    assert parse_owner(text) == {}
    assert describe_owner(parse_owner(text)) == "another run"
