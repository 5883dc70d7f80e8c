"""Errors without secrets: whoever reports one, reports all that it was raised from as well."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pxt_assets.values.scrubbing import scrub, scrub_all


@contextmanager
def scrubbed_errors(secrets: tuple[str, ...]) -> Iterator[None]:
    """Within the block, an error is raised without the secrets, as are those that it comes from.

    One whose text cannot be changed is replaced by another of the same name.
    """
    shown: BaseException | None = None
    try:
        yield
    except Exception as e:
        shown = scrubbed_error(e, secrets)
        if shown is e:
            raise
    if shown is not None:
        raise shown from shown.__cause__  # and not from the error in whose place it stands


def scrubbed_error(error: BaseException, secrets: tuple[str, ...]) -> BaseException:
    """The error without the secrets, or what stands for it."""
    return _scrubbed(error, secrets, {})


def _scrubbed(
    error: BaseException, secrets: tuple[str, ...], known: dict[int, BaseException]
) -> BaseException:
    if id(error) in known:
        return known[id(error)]
    cause, context, is_suppressed = error.__cause__, error.__context__, error.__suppress_context__
    shown = known[id(error)] = _with_scrubbed_text(error, secrets)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _scrubbed(inner, secrets, known)
    for name, other in (("__cause__", cause), ("__context__", context)):
        if other is not None:
            setattr(shown, name, _scrubbed(other, secrets, known))
    shown.__suppress_context__ = is_suppressed
    return shown


def _with_scrubbed_text(error: BaseException, secrets: tuple[str, ...]) -> BaseException:
    if _is_clean(error, secrets):
        return error
    error.args = tuple(
        scrub_all(one, secrets) if isinstance(one, str | Mapping | list) else one for one in error.args
    )
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        notes[:] = scrub_all(notes, secrets)
    for name, value in [*getattr(error, "__dict__", {}).items()]:
        if isinstance(value, str):
            setattr(error, name, scrub(value, secrets))
    if _is_clean(error, secrets):
        return error
    kind = type(error)
    stand_in = type(kind.__name__, (Exception,), {"__module__": kind.__module__})
    return stand_in(scrub(str(error), secrets)).with_traceback(error.__traceback__)  # type: ignore[no-any-return]


def _is_clean(error: BaseException, secrets: tuple[str, ...]) -> bool:
    text = "".join(traceback.format_exception_only(error))
    return scrub(text, secrets) == text
