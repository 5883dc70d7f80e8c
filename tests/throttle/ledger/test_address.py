"""What is shown of a ledger's URL, and of what drivers say."""

import pytest

from pxt_assets.throttle.ledger import LedgerUnavailable, open_ledger
from pxt_assets.throttle.ledger.address import secrets_of, shown_address, without_secrets
from pxt_assets.throttle.ledger.engine import parse_url

SECRET = "T0p/S€cret+1:2%"
QUOTED = "T0p%2FS%E2%82%ACcret%2B1%3A2%25"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:hunter2@host:6543/db", "postgresql://host:6543/db"),
        ("postgresql+psycopg://user:hunter2@host/db", "postgresql://host/db"),
        ("postgres://user:hunter2@host/db", "postgresql://host/db"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db"),
        ("postgresql:///db?host=/run/pg&password=hunter2", "postgresql:///run/pg/db"),
        (
            "postgresql://host/db?sslmode=require&sslpassword=hunter2&passfile=/hunter2",
            "postgresql://host/db",
        ),
        ("postgresql://host/db?options=-c%20x.y%3Dhunter2", "postgresql://host/db"),
        ("postgresql://?service=mine&password=hunter2", "postgresql:///"),
        ("postgresql://[::1]:5432/db?PASSWORD=hunter2", "postgresql://[::1]:5432/db"),
        ("postgresql://user:hunt@er2@host/db", "postgresql://…"),
        ("sqlite:////var/lib/ledger.sqlite", "sqlite:////var/lib/ledger.sqlite"),
    ],
)
def test_the_kind_the_host_and_the_database_are_shown(url: str, shown: str) -> None:
    """Nothing else is."""
    assert shown_address(parse_url(url), url) == shown


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{QUOTED}@host/db",
        f"postgresql://host/db?user=me&password={QUOTED}",
        f"postgresql://host/db?sslpassword={QUOTED}",
        f"postgresql://host/db?something_new={QUOTED}",
    ],
)
@pytest.mark.parametrize(
    "text", [SECRET, QUOTED, QUOTED.lower(), QUOTED.replace("%2F", "/"), repr(SECRET)[1:-1]]
)
def test_no_spelling_of_a_secret_is_left_in_what_a_driver_says(url: str, text: str) -> None:
    """Drivers quote what they were given, decoded or not."""
    secrets = secrets_of(parse_url(url), url)
    told = without_secrets(f"invalid connection string: {url} ({text})", secrets)
    for spelling in (SECRET, QUOTED, QUOTED.lower(), "cret"):
        assert spelling not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:p@1:hunter2@host/db",
        "host=somewhere password=hunter2",
        "hunter2",
        "mysql://user:hunter2@host/db",
        "postgresql+hunter://user:hunter2@host/db",
        "postgresql+asyncpg://user:hunter2@host/db",
        "sqlite:////tmp/x?timeout=hunter2",
    ],
)
def test_a_url_that_is_refused_is_not_quoted(url: str) -> None:
    """The error says what to give, and nothing of what was given that may be a secret."""
    with pytest.raises(ValueError, match=r"Give sqlite|pip install") as refused:
        open_ledger(url)
    error: BaseException | None = refused.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@127.0.0.1:9/db",
        "postgresql://127.0.0.1:9/db?user=me&password=hunter2",
        "postgresql://127.0.0.1:9/db?user=me&nonsense=hunter2",
        "postgresql://127.0.0.1:9/db?user=me&options=hunter2",
        "postgresql://127.0.0.1:9/db?user=me&sslmode=hunter2",
        "postgresql://127.0.0.1:9/db?user=me&connect_timeout=hunter2",
    ],
)
def test_an_error_of_the_driver_shows_no_secret(url: str) -> None:
    """Whatever parameter it complains of."""
    with pytest.raises(LedgerUnavailable) as refused:
        open_ledger(url).pools()
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
