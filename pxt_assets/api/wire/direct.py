"""What the wire sends by itself; in any doubt a client's requests go through the official one, as they always did."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterator

from pxt_assets.api.wire.account import ApiAccount, ApiUrl, custom_headers

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_-])?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_LATER_SET = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "transfer-encoding"}
)
"""Headers that are made with each request."""


def is_direct(account: ApiAccount) -> bool:
    """Whether requests can be sent straight to the server, as they are.

    Not through a proxy, not to a URL or with headers whose form needs more care, not in place of the key.
    """
    return (
        _is_plain_url(account.base_url) and _are_plain_headers(account) and not _has_proxy(account.base_url)
    )


def is_address(host: str) -> bool:
    """Whether a host is an IP address."""
    return _address(host) is not None


def _is_plain_url(url: ApiUrl) -> bool:
    """Whether a URL is sent as it is written: ASCII, no escapes, no dots to resolve."""
    if url.scheme not in ("http", "https"):
        return False
    dotted = any(part in (".", "..") for part in url.path.split("/"))
    is_host = _HOST.fullmatch(url.host) is not None or is_address(url.host)
    return is_host and _PATH.fullmatch(url.path) is not None and not dotted


def _are_plain_headers(account: ApiAccount) -> bool:
    names = [name for name, _ in custom_headers()]
    if len(set(names)) < len(names) or _LATER_SET.intersection(names):
        return False
    if {"authorization", "api-key"}.intersection(names):
        return False
    return all(
        _TOKEN.fullmatch(name) and not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
        for name, value in account.headers.items()
    )


def _has_proxy(url: ApiUrl) -> bool:
    """Whether a proxy may stand between, as the environment says it, or the system's settings."""
    if sys.platform not in ("darwin", "win32") and not any(n.lower().endswith("_proxy") for n in os.environ):
        return False
    from urllib.request import getproxies

    found = getproxies()
    if not (found.get(url.scheme) or found.get("all")):
        return False
    return not any(_excepts(entry, url) for entry in _exceptions(found.get("no", "")))


def _exceptions(no_proxy: str) -> Iterator[str]:
    for entry in no_proxy.split(","):
        if entry.strip():
            yield entry.strip().lower()


def _excepts(entry: str, url: ApiUrl) -> bool:
    """Whether an entry of NO_PROXY surely means a URL's host."""
    if entry == "*":
        return True
    if "://" in entry:
        return False
    if "/" in entry:
        return _is_in_network(entry, url.host)
    address = _address(entry.strip("[]"))
    if address is not None or _address(url.host) is not None:
        return address == _address(url.host)
    if entry == "localhost":
        return url.host == entry
    if entry.startswith(("*.", ".")):
        return url.host.endswith(entry.removeprefix("*"))
    return url.host == entry or url.host.endswith(f".{entry}")


def _is_in_network(entry: str, host: str) -> bool:
    address = _address(host)
    if address is None:
        return False
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
