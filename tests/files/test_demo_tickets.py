"""The demo's own data: small, and awkward on purpose."""

from collections import Counter
from pathlib import Path

import pytest

import pxt_assets
from pxt_assets.files import read_files

TICKETS = Path(pxt_assets.__file__).parent / "demo" / "data" / "tickets"


@pytest.fixture(scope="module")
def tickets():
    return read_files(f"{TICKETS}/*.csv").read_all().to_pylist()


def test_there_are_five_days_of_tickets_with_ids_of_their_own(tickets):
    """Each file is a day, each row was created on it, and no id comes twice."""
    assert len(list(TICKETS.glob("*.csv"))) == 5
    assert len({t["id"] for t in tickets}) == len(tickets) == 80
    for path in TICKETS.glob("*.csv"):
        day = read_files(f"{TICKETS}/{{partition_key}}.csv", partition_key=path.stem).read_all()
        assert 12 <= day.num_rows <= 20
        assert all(text.startswith(path.stem) for text in day["created_at"].to_pylist())


def test_awkward_texts_are_among_them(tickets):
    """Empty, emoji alone, equal, very long, other scripts, markup: what breaks a pipeline that met only tame text."""
    bodies = [t["body"] for t in tickets]
    assert "" in bodies
    assert any(body and not any(c.isalnum() for c in body) for body in bodies)
    assert max(Counter(bodies).values()) == 2
    assert max(map(len, bodies)) > 4 * 8192
    assert any("<script>" in body and "|" in body for body in bodies)
    assert any("\u3040" <= c <= "\u30ff" for body in bodies for c in body)
    assert any("\u0600" <= c <= "\u06ff" for body in bodies for c in body)
    assert any("\n" in body and '"' in body for body in bodies)
