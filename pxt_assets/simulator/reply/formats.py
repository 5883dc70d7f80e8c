"""Strings of the named formats of JSON schemas. All of them point nowhere: reserved names and addresses."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

_START = datetime(2026, 1, 1, tzinfo=UTC)


def string_of_format(name: str, words: list[str], draw: Callable[[int], int]) -> str | None:
    """A string of the format `name`, such as "date" or "email"; None for a format that is not known.

    `draw(n)` gives a number from 0 to n - 1.
    """
    moment = _START + timedelta(days=draw(365), minutes=draw(1440))
    word = re.sub("[^a-z]", "", words[draw(len(words))].lower()) or "reader"
    strings = {
        "date": moment.strftime("%Y-%m-%d"),
        "time": moment.strftime("%H:%M:%SZ"),
        "date-time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration": f"PT{1 + draw(59)}M",
        "email": f"{word[:40]}@example.com",
        "hostname": f"{word[:40]}.example.com",
        "ipv4": f"192.0.2.{draw(256)}",
        "ipv6": f"2001:db8::{draw(65536):x}",
        "uri": f"https://example.com/{word}",
        "url": f"https://example.com/{word}",
        "uri-reference": f"/{word}",
    }
    if name == "uuid":
        return str(UUID(int=draw(2**60) << 64 | draw(2**60), version=4))
    return strings.get(name)
