"""Where a ledger is, as it may be shown: its URL and what drivers say of it hold secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from sqlalchemy import URL

_SHOWN = frozenset({"host", "port", "dbname", "user"})
"""Parameters of a URL whose values are no secrets; all others might be."""
_PASSWORDS = frozenset({"password", "sslpassword"})
_SHORTEST = 4
"""Letters of the shortest value of another parameter that counts as a secret: no `1` of `keepalives=1` does."""


def shown_address(url: URL, given: str) -> str:
    """Return the kind of database, its host and its name alone, of the URL that was `given` as a text.

    Where an `@` is part of a password that nobody quoted, the rest of the password passes for the host and the name:
    then the kind alone is shown.
    """
    kind = url.get_backend_name()
    if kind == "sqlite":
        return f"sqlite:///{url.database}"
    if given.partition("?")[0].count("@") > 1:
        return f"{kind}://…"
    host = url.host or _first(url.query.get("host")) or ""
    port = url.port or _first(url.query.get("port"))
    database = url.database or _first(url.query.get("dbname")) or ""
    host = f"[{host}]" if ":" in host else host
    return f"{kind}://{host}{f':{port}' if port else ''}/{database}"


def secrets_of(url: URL, given: str) -> tuple[str, ...]:
    """Return what must not be shown of a URL, in every spelling, the longest first.

    That is its password, and the value of every parameter that may be a secret.
    """
    found = {str(url.password or "")}
    user_part = given.partition("://")[2].rpartition("@")[0]
    password = user_part.partition(":")[2]
    found |= {password, *(part for part in password.split("@") if len(part) >= _SHORTEST)}  # unquoted
    parameters = parse_qsl(given.partition("?")[2])
    for name, values in url.query.items():
        parameters += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    found |= {
        value
        for name, value in parameters
        if name not in _SHOWN and (name.lower() in _PASSWORDS or len(value) >= _SHORTEST)
    }
    spellings = {
        spelling
        for one in found
        for plain in {one, unquote(one), unquote_plus(one)}
        for spelling in (
            plain,
            quote(plain, safe=""),
            quote(plain),
            quote_plus(plain),
            quote(plain, safe="").lower(),
            plain.replace("\\", "\\\\").replace("'", "\\'"),
            repr(plain)[1:-1],
        )
    }
    return tuple(sorted(spellings - {""}, key=len, reverse=True))


def without_secrets(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text with every secret replaced by `***`."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _first(values: str | tuple[str, ...] | None) -> str | None:
    return values if isinstance(values, str) or values is None else values[0]
