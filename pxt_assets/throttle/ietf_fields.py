"""The two rate-limit fields of the IETF: `RateLimit-Policy: "burst";q=100;w=60` and `RateLimit: "burst";r=50;t=30`.

Their drafts before 2023 had `RateLimit-Limit: 100, 100;w=60`, `RateLimit-Remaining: 50` and `RateLimit-Reset: 30`.
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/)
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from pxt_assets.throttle.dimension import dimension_of, unit_of

_ITEM = re.compile(
    r'\s*(?:"([^"]*)"|([\w.*-]+))((?:\s*;\s*[\w*.-]+=(?:"[^"]*"|[^;,\s]*))*)\s*(?:,|$)', re.ASCII
)
_PARAMETER = re.compile(r';\s*([\w*.-]+)=(?:"([^"]*)"|([^;,\s]*))', re.ASCII)
_LONGEST = 2_000
"""Characters of a field that are read."""


class Policy(NamedTuple):
    """A quota and the window in which it is given."""

    dimension: str
    """What it counts, as a dimension's name: `requests-60s`."""
    quota: float
    window: float
    """Seconds."""


def read_policies(field: str) -> dict[str, Policy]:
    """Return the policies of a `RateLimit-Policy`, or of a draft's `RateLimit-Limit`, by name."""
    policies = {}
    for name, parameters in _items(field):
        quota, window = _number(parameters.get("q", name)), _number(parameters.get("w"))
        unit = parameters.get("qu", "requests")
        counted = unit_of(dimension_of(name.lower()).name)
        if quota and window and unit == "requests":
            unit = counted if counted in ("tokens", "images") else unit
            policies[name] = Policy(f"{unit}-{window:.0f}s", quota, window)
    return policies


def read_remaining(field: str) -> Iterator[tuple[str, float, float | None]]:
    """Yield the policy's name, what remains of it, and the seconds until it is whole, of each item of a `RateLimit`."""
    for name, parameters in _items(field):
        remaining = _number(parameters.get("r"))
        if remaining is not None:
            yield name, remaining, _number(parameters.get("t"))


def _items(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    for item in _ITEM.finditer(field[:_LONGEST]):
        parameters = {p[1]: p[2] or p[3] or "" for p in _PARAMETER.finditer(item[3])}
        yield item[1] if item[1] is not None else item[2], parameters


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text, re.ASCII) else None
