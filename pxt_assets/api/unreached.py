"""What an error of a connection means where a server was never reached, and what to do about it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pxt_assets.api.wire import ApiUrl

_CUT = 200
_GENERAL = "Check base_url of the OpenAIResource, the network and the proxy settings."
_BASE_URL = "Check base_url of the OpenAIResource"
_NAMED = re.compile(r"Cannot connect to host (\S+):(\d+) ssl:")
"""How the wire and the official client's transport name what they connect to: of a plain proxy, the proxy."""
_UNKNOWN_NAME = re.compile(
    r"name or service not known|name resolution|no address associated|nodename nor servname|name does not resolve"
    r"|getaddrinfo failed|host not found|cannot resolve",
    re.IGNORECASE,
)
_UNTRUSTED = re.compile(r"certificate[ _]verify[ _]failed|certificate is not trusted", re.IGNORECASE)
_OUTDATED = re.compile(r"certificate has expired|certificate is not yet valid", re.IGNORECASE)
_OTHER_NAME = re.compile(r"(hostname|ip address) mismatch", re.IGNORECASE)
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|record layer failure|SSL: HTTP_REQUEST|UNKNOWN_PROTOCOL")
_CLOSED = re.compile(r"Server disconnected|Connection reset|400, message=", re.IGNORECASE)
_REFUSED = re.compile(r"Connect call failed|refused", re.IGNORECASE)


class Unreached(NamedTuple):
    """Why nothing was reached."""

    cause: str | None
    """What the error shows, None where it shows nothing."""
    advice: str
    """What to do, in sentences."""

    def __str__(self) -> str:
        return self.advice if self.cause is None else f"{_capital(self.cause)}. {self.advice}"


def unreached(message: str, url: ApiUrl) -> Unreached:
    """What the message of a connection's error means, where nothing at the API's URL ever answered."""
    own = f"{url.host}:{url.port or {'http': 80, 'https': 443}[url.scheme]}"
    named = _NAMED.search(message)
    host, port = (named[1], named[2]) if named else own.rsplit(":", 1)
    variable = _proxy_variable(url) if named is None or f"{host}:{port}" != own else None
    found = _of_certificate(message, host) or _of_connection(message, host, port, url.scheme)
    if variable is None:
        return found
    way = f"requests go through the proxy that {variable} names"
    without = f"or name {url.host} in NO_PROXY to connect without it"
    if named is None or found.cause is None:  # it may be the proxy's fault or the server's
        return Unreached(
            None, f"{_capital(way)}: check it, {without}; and check base_url of the OpenAIResource."
        )
    return Unreached(f"{way}, and {found.cause}", f"Correct {variable}, {without}.")


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def is_untrusted(message: str) -> bool:
    """Whether a server's certificate was refused, which no waiting mends."""
    return _UNTRUSTED.search(message) is not None


def short_cause(message: str, url: ApiUrl) -> str:
    """Why nothing answers, in a few words for a line of progress."""
    cause = unreached(message, url).cause or message
    return cause if len(cause) <= _CUT else f"{cause[:_CUT]}…"


def _of_certificate(message: str, host: str) -> Unreached | None:
    if not is_untrusted(message):
        return None
    if _OUTDATED.search(message):
        return Unreached(
            "the server's certificate is not valid now",
            "It has to be renewed, or this machine's clock is wrong.",
        )
    if _OTHER_NAME.search(message):
        return Unreached(
            f"the server's certificate is for another name than {host}",
            f"{_BASE_URL}: it must have a name that the certificate holds.",
        )
    advice = (
        "The environment variable SSL_CERT_FILE, where the run is executed, must name a PEM file with the certificate of "
        "the authority that signed it, or with the server's own if it is self-signed."
    )
    if os.environ.get("SSL_CERT_FILE"):
        advice += " It is set, but its file does not hold that certificate."
    return Unreached("the server's certificate is not trusted", advice)


def _of_connection(message: str, host: str, port: str, scheme: str) -> Unreached:
    if scheme == "https" and _NO_TLS.search(message):
        return Unreached(
            f"what answers at {host}:{port} speaks no TLS",
            f"{_BASE_URL}: it may have to begin with http:// in place of https://, or to name another port.",
        )
    if _UNKNOWN_NAME.search(message):
        return Unreached(
            f"the name {host} cannot be resolved", f"{_BASE_URL} for the host's name, and the network's DNS."
        )
    if scheme == "http" and _CLOSED.search(message):
        return Unreached(
            f"what listens at {host}:{port} gave no answer in HTTP",
            f"{_BASE_URL}: it may have to begin with https:// in place of http://, or to name another port.",
        )
    if _REFUSED.search(message):
        return Unreached(
            f"nothing takes connections at {host}:{port}",
            f"{_BASE_URL} for host and port, and whether the server runs (inside a container, localhost is the container).",
        )
    if "Connection timeout" in message:
        return Unreached(f"no connection to {host}:{port} was made in time", _GENERAL)
    return Unreached(None, _GENERAL)


def _proxy_variable(url: ApiUrl) -> str | None:
    """The variable of the environment that names a proxy for a URL, None without one."""
    names = [f"{scheme}_proxy" for scheme in (url.scheme, "all")]
    spelled = [one for name in names for one in (name, name.upper())]
    variable = next((one for one in spelled if os.environ.get(one)), None)
    if variable is None:
        return None
    from urllib.request import proxy_bypass  # which takes long to import

    return None if proxy_bypass(url.host) else variable
