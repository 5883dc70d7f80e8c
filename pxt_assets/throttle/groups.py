"""Which models share a rate limit."""

import re

_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_YEAR = r"20\d\d"
_VERSION = re.compile(
    rf"-(?:latest|{_YEAR}-{_MONTH}-{_DAY}|{_YEAR}{_MONTH}{_DAY}|{_MONTH}{_DAY})$",
    re.ASCII,
)
_FINE_TUNED = "ft:"


def model_group(model: str) -> str:
    """Return the name of the family whose limits `model` shares.

    Dated snapshots (`gpt-4o-mini-2024-07-18`, `gpt-4-0613`), `-latest` aliases and models fine-tuned from one
    of them (`ft:gpt-4o-mini-2024-07-18:org::id`) draw on the limits of their family; every other name is a
    family of its own. (https://platform.openai.com/docs/guides/rate-limits)
    """
    base = model.removeprefix(_FINE_TUNED).partition(":")[0] if model.startswith(_FINE_TUNED) else model
    return _VERSION.sub("", base) or model
