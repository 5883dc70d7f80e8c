"""Texts without secrets: keys and passwords are replaced by `***`, however they are spelled, and whatever is left of them.

Servers, proxies, drivers and file systems quote what they were given: in URLs, in JSON, in pages that break lines, cut
short. So texts are scrubbed before anything cuts them.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"
_MIN_SECRET_LENGTH = 8
"""Shorter keys are dummies for servers that want none; replacing them would garble texts."""
_FRAGMENT = 12
"""From this length on a part of a secret is replaced too: somebody else may have cut the text."""
_SPELLED = re.compile(
    r"""(?P<skip>\s|[\x00\xad\u200b-\u200d\u2060\ufeff]|<wbr\s*/?>|<br\s*/?>|&(?:shy|nbsp|ZeroWidthSpace|\#8203|\#xAD|\#173);|=\r?\n|\\+[nrt])
    | %(?:25)*(?P<percent>[0-9a-f]{2})
    | \\+u00(?P<unicode>[0-9a-f]{2})
    | \\+x(?P<hex>[0-9a-f]{2})
    | \\+(?P<escaped>["'/\\])
    | (?P<entity>&\#?\w{1,8};)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Characters that are spelled otherwise, and what may stand between them: URLs, JSON, Python, HTML, broken lines."""
_SPELLED_OTHERWISE = re.compile(r"[%\\&<=\x00\xad\u200b-\u200d\u2060\ufeff]")
"""In a text without any of these there is white space at most."""
_GRAM = 4
_IN_URL = re.compile(r"(?<=://)[^/\s@'\"<>]*(?:@[^/\s@'\"<>]*)*@")
_NAMED = re.compile(
    r"""(?<![\w])((?:api[-_]?key|access[-_]?key|account[-_]?key|secret|token|(?:ssl)?password|passwd|pwd|sig|signature
    |access[-_]?token|client[-_]?secret|subscription[-_]?key)["']?=["']?)[^&\s"'<>;,]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Parameters of URLs and of connections whose values are secrets, whoever they belong to."""
_AUTHORIZATION = re.compile(
    r"\b(bearer|basic)(\s+)(?=[^\s\"'<>]*\d|[^\s\"'<>]{20})[\w.~+/=-]{8,}", re.IGNORECASE
)
_SECRET_NAME = re.compile(
    r"key|secret|token|passw|pwd|credential|auth|cookie|signature|sas|connection_?string", re.IGNORECASE
)


def scrub(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without the secrets, and without what looks like credentials in it.

    Secrets are found in any spelling of URLs, JSON, Python, HTML, base64 and hexadecimal digits, with line breaks
    inside, and cut at either end, if twelve characters are left.
    """
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, HIDDEN)
    known = _known(secrets)
    if known.fragments:
        text = _without_fragments(text, known)
    if "://" in text:
        text = _IN_URL.sub(f"{HIDDEN}@", text)
    if "=" in text:
        text = _NAMED.sub(rf"\1{HIDDEN}", text)
    return _AUTHORIZATION.sub(rf"\1\2{HIDDEN}", text) if " " in text else text


def scrub_all(value: Any, secrets: tuple[str, ...]) -> Any:
    """The same for every text in lists and dicts, keys included."""
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, Mapping):
        return {scrub_all(name, secrets): scrub_all(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_all(inner, secrets) for inner in value]
    return value


def url_secrets(url: str) -> Iterable[str]:
    """What is secret in a URL: its password, and the values of its parameters; the user too, where it stands alone."""
    try:
        parts = urlsplit(url)
        user, has_password, password = parts.netloc.rpartition("@")[0].partition(":")
    except ValueError:
        return
    if has_password:
        yield password
        yield unquote(password)
        yield f"{user}:{password}"
        yield unquote(f"{user}:{password}")
    elif user:
        yield unquote(user)
    for _, value in parse_qsl(parts.query):
        yield value


def named_secrets(options: Mapping[str, Any]) -> Iterable[str]:
    """The texts in options, headers and the like whose names say that they are secret, and the secrets in URLs."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from named_secrets(value)
        elif isinstance(value, str):
            if "://" in value:
                yield from url_secrets(value)
            elif _SECRET_NAME.search(str(name)):
                yield value.removeprefix("Bearer ").removeprefix("Basic ").strip()


def distinct_secrets(found: Iterable[str | None]) -> tuple[str, ...]:
    """Secrets that are long enough to be looked for, each once, the longest first."""
    kept = {one for one in found if one and len(one) >= _MIN_SECRET_LENGTH}
    return tuple(sorted(kept, key=lambda one: (-len(one), one)))


@dataclass(frozen=True)
class _Known:
    """What is looked for, in small letters and without white space."""

    fragments: Mapping[int, frozenset[str]]
    """By their length."""
    grams: frozenset[str]
    """All that four letters in a fragment can be."""
    step: int
    """Of places so far apart, each fragment covers the letters at one."""


@lru_cache(maxsize=64)
def _known(secrets: tuple[str, ...]) -> _Known:
    found: dict[int, set[str]] = {}
    for secret in secrets:
        if len(secret) < _MIN_SECRET_LENGTH:
            continue
        for spelled in (secret, secret.encode().hex(), *_in_base64(secret)):
            plain = re.sub(r"\s", "", spelled).lower()
            length = min(_FRAGMENT, len(plain))
            if length >= _MIN_SECRET_LENGTH:
                found.setdefault(length, set()).update(
                    plain[i : i + length] for i in range(len(plain) - length + 1)
                )
    grams = {
        fragment[i : i + _GRAM]
        for fragments in found.values()
        for fragment in fragments
        for i in range(len(fragment) - _GRAM + 1)
    }
    by_length = {length: frozenset(fragments) for length, fragments in found.items()}
    return _Known(by_length, frozenset(grams), min(found, default=_FRAGMENT) - _GRAM + 1)


def _in_base64(secret: str) -> Iterable[str]:
    """The secret in base64, wherever in a longer text it begins, without the letters that its neighbours change."""
    raw = secret.encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        inner = text[-(-before * 4 // 3) : len(raw + b"\0" * before) * 4 // 3]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _without_fragments(text: str, known: _Known) -> str:
    if not _SPELLED_OTHERWISE.search(text) and not _holds("".join(_small(text).split()), known):
        return text
    letters, places = _letters(text)
    if not _may_hold(letters, known):
        return text
    marked = bytearray(len(letters))
    for length, fragments in known.fragments.items():
        for i in range(len(letters) - length + 1):
            if letters[i : i + length] in fragments:
                marked[i : i + length] = b"\1" * length
    if not any(marked):
        return text
    parts, end, i = list[str](), 0, 0
    while i < len(letters):
        if not marked[i]:
            i += 1
            continue
        first = i
        while i < len(letters) and marked[i]:
            i += 1
        parts += [text[end : places[first][0]], HIDDEN]
        end = places[i - 1][1]
    return "".join([*parts, text[end:]])


def _may_hold(letters: str, known: _Known) -> bool:
    """Whether a fragment may be in it: looks at few places only, of which each fragment would cover one."""
    places = range(0, len(letters) - _GRAM + 1, known.step)
    return not known.grams.isdisjoint([letters[i : i + _GRAM] for i in places])


def _holds(letters: str, known: _Known) -> bool:
    """Whether a fragment is in it. An id of hexadecimal digits may hold four of a secret's, as each answer has one."""
    return _may_hold(letters, known) and not all(
        fragments.isdisjoint([letters[i : i + length] for i in range(len(letters) - length + 1)])
        for length, fragments in known.fragments.items()
    )


def _letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The characters that a text spells, small and without white space, and where each of them stands in it."""
    letters, places = list[str](), list[tuple[int, int]]()
    at = 0

    def add(plain: str, start: int, end: int) -> None:
        letters.extend(plain)
        places.extend([(start, end)] * len(plain))

    def add_all(start: int, end: int) -> None:
        letters.extend(_small(text[start:end]))
        places.extend((i, i + 1) for i in range(start, end))

    for found in _SPELLED.finditer(text):
        add_all(at, found.start())
        at = found.end()
        code = found["percent"] or found["unicode"] or found["hex"]
        if code:
            add(_small(chr(int(code, 16))), *found.span())
        elif found["escaped"]:
            add(found["escaped"], *found.span())
        elif found["entity"]:
            add(_small(html.unescape(found["entity"])), *found.span())
    add_all(at, len(text))
    return "".join(letters), places


def _small(text: str) -> str:
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
