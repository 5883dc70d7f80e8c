"""Names of the servers that answer: which answers are another server's than the one that is asked now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator

SIMULATOR = "simulator"
"""The name of every simulator: what it answers is marked as such, and never another server's answer."""
UNKNOWN = "unknown"
"""The name of the servers of cells that earlier versions stored."""
_CHOICES = ("reuse", "recompute", "fail")


def _check_choice(chosen: str) -> str:
    if chosen not in _CHOICES:
        msg = f"got {chosen!r}, allowed: {', '.join(map(repr, _CHOICES))}"
        raise ValueError(msg)
    return chosen


OnOtherServer = Annotated[str, AfterValidator(_check_choice)]
"""What becomes of another server's answers: 'reuse', 'recompute' or 'fail'. The environment may give it."""
_PORTS = {"http": 80, "https": 443}


_OPENAI = "api.openai.com"


class AskedServer(NamedTuple):
    """The server that is asked, and what becomes of the answers of another."""

    name: str
    on_other_server: str = "reuse"

    @property
    def takes_breakpoints(self) -> bool:
        """Whether it is known to take marks for its cache of prompts: OpenAI's own, in any region, and a simulator."""
        return self.name == SIMULATOR or self._host == _OPENAI or self._host.endswith(f".{_OPENAI}")

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self._host in ("localhost", "::1") or self._host.startswith("127.")

    @property
    def _host(self) -> str:
        return urlsplit(self.name).hostname or ""

    def is_other(self, name: str | None) -> bool:
        """Whether answers of the server `name` are another's. Nobody knows it of unknown ones, nor of a simulator's."""
        if name in (None, UNKNOWN, SIMULATOR) or self.name == SIMULATOR:
            return False
        return _identity(str(name)) != _identity(self.name)


def server_name(base_url: str) -> str:
    """A server's name, by its base URL: scheme, host, port unless it is the usual one, and path; no user, no query.

    Servers at different paths of one host are different ones, as gateways have them.
    """
    parts = urlsplit(base_url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        port = None
    if ":" in host:
        host = f"[{host}]"
    shown = "" if port in (None, _PORTS.get(scheme)) else f":{port}"
    path = "/".join(part for part in parts.path.split("/") if part)
    return f"{scheme}://{host}{shown}{'/' if path else ''}{path}"


def asked_server(base_url: str | None, on_other_server: str, *, simulated: bool, azure: bool) -> AskedServer:
    """The server at a base URL; where there is none, the one that the official client asks then."""
    if simulated:
        return AskedServer(SIMULATOR)
    if base_url is None and azure:
        base_url = f"{os.environ.get('AZURE_OPENAI_ENDPOINT', '').rstrip('/')}/openai"
    url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    return AskedServer(server_name(url), on_other_server)


def _identity(name: str) -> str:
    """What is the same for a server with and without TLS."""
    return name.partition("://")[2]


def counts_by_host(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by server as counts by host, the largest first; with its path where there are several of one host."""
    servers = {name: _identity(name) or name for name in counts}
    hosts: dict[str, set[str]] = {}
    for identity in servers.values():
        hosts.setdefault(identity.partition("/")[0], set()).add(identity)
    found: dict[str, int] = {}
    for name, identity in servers.items():
        host = identity.partition("/")[0]
        shown = host if len(hosts[host]) == 1 else identity
        found[shown] = found.get(shown, 0) + counts[name]
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def names_text(names: Iterable[str]) -> str:
    """Names of servers for a message."""
    return ", ".join(sorted(names))
