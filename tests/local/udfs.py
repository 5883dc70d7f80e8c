"""User-defined functions that tests apply to a column."""

from typing import Any

from pxt_assets import udf


@udf
def shout(text: str) -> str:
    return text.upper()


def returning(value: Any, hint: Any) -> Any:
    """A udf that gives `value` for every text, hinted `hint`."""

    def f(text: str) -> Any:
        return value

    f.__annotations__["return"] = hint
    return udf(f)
