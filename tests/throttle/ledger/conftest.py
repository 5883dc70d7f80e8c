import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pxt_assets.throttle.ledger as ledger_package
from pxt_assets.throttle.ledger.sql import SqlLedger
from tests.throttle.ledger.postgres import binaries, postgres_server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL database; skips where there is no server, unless PXT_REQUIRE_POSTGRES says it must be."""
    if binaries() is None and not os.environ.get("PXT_REQUIRE_POSTGRES"):
        pytest.skip("needs PostgreSQL's server binaries (Debian: postgresql)")
    with postgres_server() as url:
        yield url


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every ledger that a test opened, and let none of another test be found."""
    opened: list[SqlLedger] = []
    init = SqlLedger.__init__

    def remember(self: SqlLedger, url: str) -> None:
        init(self, url)
        opened.append(self)

    monkeypatch.setattr(SqlLedger, "__init__", remember)
    monkeypatch.setattr(ledger_package, "_ledgers", {})
    monkeypatch.setattr(ledger_package, "_pools", {})
    yield
    for ledger in opened:
        ledger.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
