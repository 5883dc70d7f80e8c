"""Declaring a function of the API: its class, its decorator, and helpers for building requests and reading answers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec

from pxt_assets.api.body_template import new_marks
from pxt_assets.api.prompt_cache import CachedPrefix
from pxt_assets.api.request import Endpoint, Request, body_template
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.expr import Call, Expr, RequestOfTexts
from pxt_assets.expressions.function import Function, holds_path
from pxt_assets.expressions.path_steps import Shape
from pxt_assets.expressions.walk import calls
from pxt_assets.functions.constant_prefix import constant_prefix
from pxt_assets.functions.misplaced import check_misplaced
from pxt_assets.values.json_text import replace_surrogates
from pxt_assets.values.media import Media, encode_image, is_image
from pxt_assets.values.types import ColumnType

P = ParamSpec("P")


@dataclass(frozen=True)
class AdaptedCall:
    """A call whose arguments are JSON in place of the objects that a user gave: tools, pydantic models."""

    arguments: dict[str, Any]
    shape: Shape | None = None
    """The value's shape, if the arguments tell more of it than the function; None otherwise."""
    settle: Callable[[Any], Any] | None = None
    """Makes the cell's value of an answer's; None to keep that."""


class ApiFunction(Function[P]):
    """A function of the API. `build` takes the resolved arguments of one row and gives the request's body.

    `build` raises CellError for values that the function cannot take. `adapt` is applied to
    the arguments once, while definitions load. `text_at(path)` tells of places in the arguments, as `("messages", 0,
    "content")`, where any text but an empty one becomes part of the body as it is and counts with each of its letters. `prompt` is
    the argument that holds the prompt's messages, and the type of a content part of them that is a text.
    """

    def __init__(
        self,
        build: Callable[P, Mapping[str, Any]],
        *,
        endpoint: Endpoint,
        returns: type[ColumnType],
        shape: Shape | None = None,
        adapt: Callable[[dict[str, Any]], AdaptedCall] | None = None,
        text_at: Callable[[tuple[str | int, ...]], bool] = lambda _path: False,
        prompt: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(build, returns=returns, shape=shape)
        self.endpoint = endpoint
        self._build = build
        self._adapt = adapt
        self._text_at = text_at
        self._prompt = prompt
        self._prefix: CachedPrefix | None = None
        self._settle: Callable[[Any], Any] | None = None

    @property
    def version(self) -> str:
        """The endpoint's path, which is part of a column's code version."""
        return self.endpoint.path

    def with_cached_prefix(self, arguments: Mapping[str, Any]) -> ApiFunction[P]:
        """The function for a call with these arguments, whose requests mark the end of what all rows have in common."""
        function = copy.copy(self)
        function._prefix = None if self._prompt is None else constant_prefix(arguments, *self._prompt)
        return function

    def cell_request(self, arguments: Mapping[str, Any]) -> Request:
        """The request of one row. Raises CellError for arguments that the function cannot take."""
        try:
            body = self._build(**arguments)  # type: ignore[call-arg]
        except UnicodeEncodeError:
            return self.cell_request(_with_encodable_text(arguments))
        except CellError as e:
            raise CellError(e.errortype, f"{self.name}: {e.message}") from e
        body = {k: v for k, v in body.items() if v is not None}
        names = {name for encoding in self.endpoint.encodings for name in encoding}
        encoding = {k: v for k, v in body.items() if k in names}
        body = {k: v for k, v in body.items() if k not in names} if encoding else body
        request = Request(self.endpoint, body, self._settle, encoding, prefix=self._prefix)
        try:
            request.check()
        except UnicodeEncodeError:
            return self.cell_request(_with_encodable_text(arguments))
        except (TypeError, ValueError) as e:  # a value that JSON cannot hold
            raise CellError(type(e).__name__, f"{self.name}: {e}") from e
        return request

    def request_of_texts(self, arguments: Mapping[str, Any]) -> RequestOfTexts | None:
        """What makes the request of the texts of all columns in `arguments`; None where they are not texts alone."""
        found = list(_columns_in(arguments))
        if not found or holds_path(arguments) or not all(self._text_at(path) for path, _ in found):
            return None
        marks = new_marks(len(found))
        try:
            request = self.cell_request(_with_marks(arguments, iter(marks)))
            template = body_template(request, marks)
        except (CellError, ValueError):
            return None

        def fill(texts: tuple[str, ...]) -> Request:
            return Request(
                request.endpoint,
                template.fill(texts),
                request.to_cell_value,
                request.encoding,
                prefix=request.prefix,
            )

        return RequestOfTexts([column for _, column in found], fill)

    def _new_call(self, arguments: dict[str, Any]) -> Call:
        check_misplaced(self.name, self.endpoint.path, arguments)
        model = arguments.get("model")
        if not isinstance(model, str | Expr | None):
            msg = f"{self.name}: got model={model!r}, allowed: a model's name or a column of names"
            raise DefinitionError(msg)
        if self._adapt is None:
            return Call(self, arguments)
        adapted = self._adapt(arguments)
        function = copy.copy(self)
        function.shape = adapted.shape or self.shape
        function._settle = adapted.settle
        return Call(function, adapted.arguments)


def api_function(
    endpoint: Endpoint,
    returns: type[ColumnType],
    shape: Shape | None = None,
    adapt: Callable[[dict[str, Any]], AdaptedCall] | None = None,
    text_at: Callable[[tuple[str | int, ...]], bool] = lambda _path: False,
    prompt: tuple[str, str] | None = None,
) -> Callable[[Callable[P, Mapping[str, Any]]], ApiFunction[P]]:
    """Makes a function of the API from a plain function that builds a request's body."""

    def declare(build: Callable[P, Mapping[str, Any]]) -> ApiFunction[P]:
        return ApiFunction(
            build,
            endpoint=endpoint,
            returns=returns,
            shape=shape,
            adapt=adapt,
            text_at=text_at,
            prompt=prompt,
        )

    return declare


def has_cached_prefix(expr: object) -> bool:
    """Whether any request of an expression would mark the end of what all rows have in common."""
    return any(
        call._function.with_cached_prefix(call._arguments)._prefix is not None
        for call in calls(expr)
        if isinstance(call._function, ApiFunction)
    )


def _columns_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Expr]]:
    """The columns in a call's arguments, and where they stand, in the order in which they are read."""
    if isinstance(value, Expr):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _columns_in(inner, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _columns_in(inner, (*path, number))


def _with_marks(value: Any, marks: Iterator[str]) -> Any:
    """The arguments as the row of a table gives them whose columns hold the marks."""
    if isinstance(value, Expr):
        return next(marks)
    if isinstance(value, Mapping):
        return {str(name): _with_marks(inner, marks) for name, inner in value.items()}
    return [_with_marks(inner, marks) for inner in value] if isinstance(value, list | tuple) else value


def text_of(argument: str) -> Callable[[tuple[str | int, ...]], bool]:
    """Whether a place is the argument itself, the content of a message in it, or the text of a part of such a content."""

    def is_text(path: tuple[str | int, ...]) -> bool:
        kinds = tuple("*" if isinstance(step, int) else step for step in path[1:])
        return path[0] == argument and kinds in ((), ("*", "content"), ("*", "content", "*", "text"))

    return is_text


def constant_media(value: Any) -> Any:
    """A constant argument for an image or audio: PIL images and bytes as Media, others unchanged."""
    if isinstance(value, bytes | bytearray):
        return Media(bytes(value))
    return Media(encode_image(value)) if is_image(value) else value


def _with_encodable_text(value: Any) -> Any:
    """The value with lone surrogates replaced in all its text."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, Mapping):
        return {_with_encodable_text(k): _with_encodable_text(v) for k, v in value.items()}
    return [_with_encodable_text(v) for v in value] if isinstance(value, list | tuple) else value


def short_repr(value: object) -> str:
    """A value for an error message: its type and the first 60 characters of its repr."""
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' if len(text) > 60 else ''}"


def with_kwargs(body: Mapping[str, Any], model_kwargs: object, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the API's other arguments added. Raises CellError for `model_kwargs` that are no dict."""
    if model_kwargs is None:
        return {**body, **extra}
    if not isinstance(model_kwargs, Mapping):
        msg = f"model_kwargs: got {short_repr(model_kwargs)}, allowed: a dict of the API's arguments, or null"
        raise CellError("TypeError", msg)
    twice = sorted(model_kwargs.keys() & body.keys())
    if twice:
        msg = f"model_kwargs: {', '.join(twice)} is an argument of its own; leave it out of model_kwargs"
        raise CellError("TypeError", msg)
    return {**body, **model_kwargs, **extra}


def require_text(value: object, argument: str) -> str:
    """The value unchanged. Raises CellError if it is not text."""
    if not isinstance(value, str):
        msg = (
            f"{argument}: got {short_repr(value)}, allowed: text or null; convert the column to text upstream"
        )
        raise CellError("TypeError", msg)
    return value
