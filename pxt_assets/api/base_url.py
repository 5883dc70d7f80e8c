"""Which URLs an API may have: whole ones, that hold nothing secret. And which APIs are known to name their limits."""

from __future__ import annotations

from urllib.parse import urlsplit


def check_base_url(base_url: str, error: type[Exception], name: str = "base_url") -> None:
    """Raises `error` for a base URL, called `name`, that is none, or that holds what would be shown with it."""
    try:
        parts = urlsplit(base_url)
        is_whole, user = parts.scheme in ("http", "https") and bool(parts.hostname), parts.username
    except ValueError:  # its message would quote the URL
        is_whole, parts, user = False, urlsplit(""), None
    if is_whole and (base_url != base_url.strip() or not base_url.isprintable()):
        msg = f"{name} must be a whole URL, such as http://localhost:8000/v1, without blanks or line breaks around it"
        raise error(msg)
    if not is_whole:
        msg = f"{name} must be a whole URL, such as http://localhost:8000/v1"
        raise error(msg)
    if user is not None:
        msg = f"{name} holds credentials, which would be shown wherever it is; give them as api_key"
        raise error(msg)
    if parts.query or parts.fragment:
        msg = (
            f"{name} holds a query (what follows a ? or #), behind which no path of the API can stand, and which would be "
            "shown wherever it is; give a key as api_key"
        )
        raise error(msg)


def names_limits(host: str) -> bool:
    """Whether the answers of a host name its rate limits, as far as is known before the first of them."""
    return host.endswith((".openai.com", ".azure.com"))


def is_azure(host: str) -> bool:
    """Whether a host is Azure's, which has its own words for what all others call the same."""
    return host.endswith(".azure.com")
