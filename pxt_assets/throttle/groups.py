"""Which models share a rate limit."""

import re

_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_VERSION = re.compile(rf"-(?:latest|20\d\d-{_MONTH}-{_DAY}|{_MONTH}{_DAY})$", re.ASCII)


def model_group(model: str) -> str:
    """Return the name of the family whose limits `model` shares.

    Dated snapshots (`gpt-4o-mini-2024-07-18`, `gpt-4-0613`) and `-latest` aliases draw on the limits of
    their family; every other name is a family of its own.
    """
    return _VERSION.sub("", model) or model
