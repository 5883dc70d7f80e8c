"""The errors of this package, by who has to act.

PxtError
├── DefinitionError         a mistake in the definitions; raised while they load
│   └── UnknownColumnError  a name that the table is known not to have
├── SourceError             a file or a table that cannot be read as rows
├── SearchError             a search that an embedding index cannot answer
├── CellError               one row's failure; stored beside the row under on_error="ignore"
└── RunError                stops the run, whatever on_error says
    ├── PartitionError      one partition cannot be computed; the run goes on with its others, and fails then
    └── FatalApiError       the API refuses every request (key, billing, unknown model)
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import dagster as dg

P = ParamSpec("P")
R = TypeVar("R")

TOO_LARGE = "RequestTooLarge"
"""The errortype of a request that takes more than a whole limit of the account."""


class PxtError(Exception):
    """Base of everything that this package raises on purpose."""


class DefinitionError(PxtError, dg.DagsterInvalidDefinitionError, ValueError):
    """A mistake in a table, a column or an expression, found while definitions load."""


class UnknownColumnError(DefinitionError, AttributeError, KeyError):
    """A column name that the table is known not to have; the message lists those that it has."""

    def __str__(self) -> str:
        return str(self.args[0])


class SourceError(PxtError):
    """A file or an upstream value that is not a table; the message names the file and the line."""


class SearchError(PxtError):
    """A search that an embedding index cannot answer: the query, a filter, or the index itself is at fault."""


class CellError(PxtError):
    """One row's failure.

    `errortype` is the API's error class (`BadRequestError`) or Python's (`TypeError`), `message` the text that is
    stored in `<column>_errormsg`, `request_id` the API's id of the request, where there was one. `divisible` says
    that a request of many cells may have failed for one of them, so that halving it helps, `refused` that every request
    to that model may fail so, `of_input` that it speaks of what a cell's input holds, and `inputs` which of them it names.
    `value` is the part of the cell's value that is known, None for nothing.
    """

    def __init__(
        self,
        errortype: str,
        message: str,
        request_id: str | None = None,
        *,
        divisible: bool = False,
        refused: bool = False,
        of_input: bool = False,
        inputs: tuple[int, ...] = (),
        value: Any = None,
    ) -> None:
        super().__init__(message)
        self.errortype = errortype
        self.divisible = divisible
        self.refused = refused
        self.of_input = of_input
        self.inputs = inputs
        self.value = value
        self.message = f"{message} (request {request_id})" if request_id else message
        self.request_id = request_id

    def without_secrets(self, scrub: Callable[[str], str]) -> "CellError":
        """The same error, with its texts as `scrub` gives them."""
        error = self.without_frames()
        error.value = self.value
        error.errortype, error.message = scrub(self.errortype), scrub(self.message)
        error.args = (error.message,)
        error.request_id = None if self.request_id is None else scrub(self.request_id)
        return error

    def without_frames(self) -> "CellError":
        """The same error without its traceback, whose frames would keep images in memory."""
        error = CellError(self.errortype, self.message, divisible=self.divisible)
        error.request_id = self.request_id
        return error


class RunError(PxtError):
    """Stops the run: what is finished is kept, nothing new is sent."""

    def locate(self, where: str) -> None:
        """Puts `where`, the asset and partition, before the message, unless it is there already."""
        if not str(self).startswith(where):
            self.args = (f"{where}: {self}",)


class PartitionError(RunError):
    """One partition cannot be computed: its rows, or what is stored of it, are at fault. Others can."""


class FatalApiError(RunError):
    """The API refuses every request: a wrong key, no credit, no such model, no access."""


def did_you_mean(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a message about an unknown name: the name that was probably meant, or nothing.

    `cutoff` is how alike they must be, 0 to 1.
    """
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def no_option(
    where: str, name: str, allowed: Iterable[str], value_text: str = "", advice: str | None = None
) -> str:
    """The message about a keyword that is no option; it begins with `where`, and names what is allowed.

    `value_text` is `=5`, empty where the value may be a secret; `advice` is what to do, by default the option that was
    probably meant.
    """
    names = list(allowed)
    hint = option_meant(name, names) if advice is None else f"; {advice}"
    return f"{where}: got {name}{value_text}, which is no option; allowed: {', '.join(names)}{hint}"


def option_meant(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown option: the one that is spelled alike, or that has the name as a part of it."""
    names = list(names)
    longer = [one for one in names if f"_{name}_" in f"_{one}_"]
    return did_you_mean(name, names) or (f"; did you mean {longer[0]!r}?" if len(longer) == 1 else "")


def options_checked(where: str, error: type[Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function raise `error` for a keyword that it does not have, in place of Python's TypeError.

    `where` is how users call it; `{!r}` in it stands for the first argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        first, *names = inspect.signature(function).parameters

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in names and name != first:
                    raise error(no_option(where.format(*args), name, names))
            return function(*args, **kwargs)

        return checked

    return decorate
