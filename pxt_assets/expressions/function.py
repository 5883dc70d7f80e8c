"""Functions that columns apply to their inputs. Calling one makes an expression; nothing is computed yet."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Set
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol

from pxt_assets.api.request import CellRequest
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.asset_options import ASSET_OPTIONS, is_like_option, unknown_option
from pxt_assets.expressions.expr import Call
from pxt_assets.expressions.path_steps import Shape
from pxt_assets.expressions.walk import nodes
from pxt_assets.values.types import ColumnType

if TYPE_CHECKING:
    import dagster as dg

P = ParamSpec("P")


class ColumnTable(Protocol):
    """A Table, as far as functions know it: computed columns can be added."""

    def add_computed_column(self, **column_and_options: Any) -> dg.AssetsDefinition:
        """Adds one column."""


class Function(Generic[P]):
    """A function that can be a computed column: of the API, or a user's own.

    Example:
        ```python
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))
        chat_completions.asset(name="response", table=tbl, messages=messages, model="gpt-6-luna")
        embed = embeddings.using(model="text-embedding-3-small")
        ```

    Its signature and docstring are those of `wrapped`.
    """

    def __init__(
        self, wrapped: Callable[P, object], *, returns: type[ColumnType], shape: Shape | None = None
    ) -> None:
        self.name = wrapped.__name__
        self.__name__ = wrapped.__name__
        self.__doc__ = wrapped.__doc__
        self.returns = returns
        self.shape: Shape = shape or {}
        self._fixed: dict[str, Any] = {}
        self._parameters = inspect.signature(wrapped).parameters
        self._named_parameters = [p for p in self._parameters.values() if p.kind is not p.VAR_KEYWORD]
        self.local = False
        """Whether it runs in this process, without any request to the API."""
        self.required_arguments: Set[str] = {p.name for p in self._named_parameters if p.default is p.empty}

    @property
    def __signature__(self) -> inspect.Signature:
        """The documented signature; other keywords of the API are accepted too."""
        parameters = []
        for p in self._named_parameters:
            fixed = p.name in self._fixed
            parameters.append(p.replace(kind=p.KEYWORD_ONLY, default=self._fixed[p.name]) if fixed else p)
        return inspect.Signature(sorted(parameters, key=lambda p: p.kind))

    @property
    def version(self) -> str:
        """The function's part of a column's code version."""
        raise NotImplementedError

    def cell_request(self, arguments: Mapping[str, Any]) -> CellRequest:
        """The request of one cell. Raises CellError for arguments that the function cannot take."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The function applied to values, column references, paths, or dicts and lists of them."""
        return self._make_call(args, kwargs)

    def using(self, **arguments: Any) -> Function[...]:
        """The function with some arguments fixed."""
        narrowed = copy.copy(self)
        narrowed._fixed = {**self._fixed, **self._check_not_fixed(arguments)}
        self._check_model_kwargs(narrowed._fixed)
        return narrowed

    def asset(self, *, name: str, table: ColumnTable, **kwargs: Any) -> dg.AssetsDefinition:
        """A computed column of the table as a Dagster asset: the same as `table.add_computed_column(name=...)`.

        Keywords are arguments of the function, and options of the asset (`on_error`, `group_name`, `owners`, ...). Of a name
        that is both, the argument is meant; `add_computed_column` takes the option. Raises DefinitionError.
        """
        own = {p.name for p in self._named_parameters}
        options = {k: v for k, v in kwargs.items() if k in ASSET_OPTIONS - own}
        arguments = {k: v for k, v in kwargs.items() if k not in options}
        for keyword, value in arguments.items():
            if keyword not in own and is_like_option(keyword):
                raise unknown_option(f"{self.name}.asset", keyword, value, ASSET_OPTIONS)
        column: dict[str, Any] = {name: self._make_call((), arguments)}
        return table.add_computed_column(**column, **options)

    def _make_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        call = self._new_call(self._bind(args, {**self._fixed, **self._check_not_fixed(kwargs)}))
        if not any(True for _ in nodes(call._arguments)) and not holds_path(call._arguments):
            try:
                call._function.cell_request(call._arguments)  # what would fail every row is reported now
            except CellError as e:
                raise DefinitionError(e.message) from e
        return call

    def _new_call(self, arguments: dict[str, Any]) -> Call:
        """The call with these arguments, which subclasses may change."""
        return Call(self, arguments)

    def _check_not_fixed(self, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The keywords. Raises DefinitionError if one was fixed by `using` before."""
        both = sorted(self._fixed.keys() & kwargs.keys())
        if both:
            msg = f"{self.name}: {', '.join(both)} was fixed by using(...) already; give it in one place"
            raise DefinitionError(msg)
        return kwargs

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.Signature(list(self._parameters.values())).bind(*args, **kwargs)
        except TypeError as e:
            names = ", ".join(str(p).split(":", maxsplit=1)[0] for p in self._named_parameters)
            msg = f"{self.name}: {e}; its arguments are {names}"
            raise DefinitionError(msg) from None
        extra = next((p.name for p in self._parameters.values() if p.kind is p.VAR_KEYWORD), None)
        arguments = dict(bound.arguments)
        arguments.update(arguments.pop(extra, {}) if extra else {})
        self._check_model_kwargs(arguments)
        for name in self.required_arguments:
            if name in arguments and arguments[name] is None:
                msg = f"{self.name}: {name} is None; it is required, give a value or a column"
                raise DefinitionError(msg)
        return arguments

    def _check_model_kwargs(self, arguments: Mapping[str, Any]) -> None:
        """Raises DefinitionError for model_kwargs that are not allowed, or that repeat a keyword."""
        model_kwargs = arguments.get("model_kwargs")
        if model_kwargs is None:
            return
        names = {p.name for p in self._named_parameters}
        if "model_kwargs" not in names:
            msg = f"{self.name} takes no model_kwargs; give the API's other arguments one by one, as keywords"
            raise DefinitionError(msg)
        others = sorted(k for k in arguments if k not in names)
        if not isinstance(model_kwargs, Mapping):
            if others:
                msg = (
                    f"{self.name}: model_kwargs is a column, so {', '.join(others)} cannot be given beside it"
                )
                raise DefinitionError(msg)
            return
        own = sorted(k for k in model_kwargs if k in names and k not in arguments)
        if own:
            msg = f"{self.name}: {', '.join(own)} is an argument of its own; give it as a keyword, not in model_kwargs"
            raise DefinitionError(msg)
        both = sorted(k for k in model_kwargs if k in arguments)
        if both:
            msg = (
                f"{self.name}: {', '.join(both)} is given both as a keyword and in model_kwargs; give it once"
            )
            raise DefinitionError(msg)


def holds_path(value: Any) -> bool:
    """Whether constant arguments hold a file path; such a file is read when the column is computed."""
    if isinstance(value, Mapping):
        return any(holds_path(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(holds_path(v) for v in value)
    return isinstance(value, PurePath)
