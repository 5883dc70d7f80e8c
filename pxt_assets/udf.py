"""Functions: what a column applies to its inputs. Calling one makes an expression; nothing is computed yet."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol

from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expr import Call, Expr, Shape, nodes
from pxt_assets.json_text import encodable
from pxt_assets.request import Endpoint, Request
from pxt_assets.types import ColumnType

if TYPE_CHECKING:
    import dagster as dg

P = ParamSpec("P")

ASSET_OPTIONS = frozenset(
    {
        "automation_condition",
        "description",
        "freshness_policy",
        "group_name",
        "on_error",
        "owners",
        "partition_mapping",
        "tags",
    }
)
"""The keywords of `.asset(...)` that are options of the asset; all others are arguments of the function."""


class Columns(Protocol):
    """What takes computed columns: a Table."""

    def add_computed_column(self, **column_and_options: Any) -> dg.AssetsDefinition:
        """Adds one column."""


class Function(Generic[P]):
    """A function of the API that can be a computed column.

    Example:
        ```python
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))
        chat_completions.asset(name="response", table=tbl, messages=messages, model="gpt-6-luna")
        embed = embeddings.using(model="text-embedding-3-small")
        ```

    `build` takes the resolved arguments of one row and gives the request's body; it raises CellError or TypeError
    for values that the function cannot take. Its signature and docstring are the function's own.
    """

    def __init__(
        self,
        build: Callable[P, Mapping[str, Any]],
        *,
        endpoint: Endpoint,
        returns: type[ColumnType],
        shape: Shape | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = build.__name__
        self.__name__ = build.__name__
        self.__doc__ = build.__doc__
        self.endpoint = endpoint
        self.returns = returns
        self.shape: Shape = shape or {}
        self._build = build
        self._fixed = dict(fixed or {})
        self._parameters = inspect.signature(build).parameters
        self._named = [p for p in self._parameters.values() if p.kind is not p.VAR_KEYWORD]
        self.required: Set[str] = {p.name for p in self._named if p.default is p.empty}

    @property
    def __signature__(self) -> inspect.Signature:
        """As documented; other keywords of the API are accepted besides."""
        kept = []
        for p in self._named:
            fixed = p.name in self._fixed
            kept.append(p.replace(kind=p.KEYWORD_ONLY, default=self._fixed[p.name]) if fixed else p)
        return inspect.Signature(sorted(kept, key=lambda p: p.kind))

    @property
    def version(self) -> str:
        """What a code version says of the function."""
        return self.endpoint.path

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The function applied to values, column references, paths, or dicts and lists of them."""
        return Call(self, self._bind(args, {**self._fixed, **self._distinct(kwargs)}))

    def using(self, **arguments: Any) -> Function[...]:
        """The function with some arguments fixed."""
        fixed = {**self._fixed, **self._distinct(arguments)}
        self._check_twice(fixed)
        return Function(
            self._build, endpoint=self.endpoint, returns=self.returns, shape=self.shape, fixed=fixed
        )

    def asset(self, *, name: str, table: Columns, **kwargs: Any) -> dg.AssetsDefinition:
        """A computed column of the table as a Dagster asset: the same as `table.add_computed_column(name=...)`.

        Keywords are arguments of the function, and options of the asset (`on_error`, `group_name`, `owners`, ...).
        """
        options = {k: v for k, v in kwargs.items() if k in ASSET_OPTIONS}
        arguments = {k: v for k, v in kwargs.items() if k not in ASSET_OPTIONS}
        call = Call(self, self._bind((), {**self._fixed, **self._distinct(arguments)}))
        column: dict[str, Any] = {name: call}
        return table.add_computed_column(**column, **options)

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """The request of one row. Raises CellError for arguments that the function cannot take."""
        try:
            body = self._build(**arguments)  # type: ignore[call-arg]
            request = Request(self.endpoint, {k: v for k, v in body.items() if v is not None})
            request.payload  # noqa: B018  (refuses what JSON cannot hold)
        except UnicodeEncodeError:
            return self.request(_encodable(arguments))
        except (TypeError, ValueError) as e:
            raise CellError(type(e).__name__, f"{self.name}: {e}") from e
        return request

    def _distinct(self, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The keywords, if none of them was fixed by `using` before."""
        both = sorted(self._fixed.keys() & kwargs.keys())
        if both:
            msg = f"{self.name}: {', '.join(both)} was fixed by using(...) already; give it in one place"
            raise DefinitionError(msg)
        return kwargs

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.Signature(list(self._parameters.values())).bind(*args, **kwargs)
        except TypeError as e:
            shown = ", ".join(str(p).split(":", maxsplit=1)[0] for p in self._named)
            msg = f"{self.name}: {e}; its arguments are {shown}"
            raise DefinitionError(msg) from None
        extra = next((p.name for p in self._parameters.values() if p.kind is p.VAR_KEYWORD), None)
        arguments = dict(bound.arguments)
        arguments.update(arguments.pop(extra, {}) if extra else {})
        self._check_twice(arguments)
        for name in self.required:
            if arguments.get(name) is None:
                msg = f"{self.name}: {name} is None; it is required, give a value or a column"
                raise DefinitionError(msg)
        self._check_constants(arguments)
        return arguments

    def _check_constants(self, arguments: Mapping[str, Any]) -> None:
        """Refuses what would fail every row: a wrong constant need not wait for the run."""
        model_kwargs = arguments.get("model_kwargs")
        if "stream" in arguments or (isinstance(model_kwargs, Mapping) and "stream" in model_kwargs):
            msg = f"{self.name}: stream is not for cells, which hold whole answers; leave it out"
            raise DefinitionError(msg)
        model = arguments.get("model")
        if not isinstance(model, str | Expr | None):
            msg = f"{self.name}: got model={model!r}, allowed: a model's name or a column of names"
            raise DefinitionError(msg)
        if not any(True for _ in nodes(arguments)):
            try:
                self.request(arguments)
            except CellError as e:
                raise DefinitionError(e.message) from e

    def _check_twice(self, arguments: Mapping[str, Any]) -> None:
        """Refuses a keyword that stands in `model_kwargs` too: which one counts would be a guess."""
        model_kwargs = arguments.get("model_kwargs")
        if model_kwargs is None:
            return
        names = {p.name for p in self._named}
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


def _encodable(value: Any) -> Any:
    """The value with lone surrogates replaced in all its text."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    return [_encodable(v) for v in value] if isinstance(value, list | tuple) else value
