"""What the type hints of a user-defined function say: the column's type, batches, and where nulls are allowed."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pxt_assets.errors import DefinitionError
from pxt_assets.local.structured_schema import shape_of
from pxt_assets.values.types import Array, Audio, Bool, ColumnType, Float, Image, Int, Json, String


def hints_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """A function's hints, evaluated. Raises DefinitionError for those that cannot be."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as e:  # whatever evaluating an annotation raises
        msg = f"udf {name}: its hints cannot be resolved ({e})"
        raise DefinitionError(msg) from e


def unwrap_hint(hint: Any) -> Any:
    """A hint without `| None`, Annotated and NewType."""
    if isinstance(hint, typing.NewType):
        return unwrap_hint(hint.__supertype__)
    if typing.get_origin(hint) is Annotated:
        return unwrap_hint(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return unwrap_hint(rest[0]) if len(rest) == 1 else hint
    return hint


def batch_item_hint(hint: Any) -> Any:
    """The hint of a list's items; None for a hint that is no list."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return (typing.get_args(hint) or (Any,))[0] if typing.get_origin(hint) in (list, Sequence) else None


def allows_none(hint: Any, parameter: inspect.Parameter) -> bool:
    """Whether a parameter of that hint may be None: if not, a null makes the cell null."""
    if parameter.default is None or hint in (Any, None):
        return True
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


_COLUMN_TYPES: dict[Any, type[ColumnType]] = {
    str: String,
    int: Int,
    float: Float,
    bool: Bool,
    dict: Json,
    list: Json,
    tuple: Json,
    Any: Json,
    bytes: Audio,
}


def column_type_of(hint: Any, name: str) -> tuple[type[ColumnType], Mapping[str, Any]]:
    """The column type of a return hint, and the shape of its JSON value."""
    hint = unwrap_hint(hint)
    if isinstance(hint, type) and issubclass(hint, ColumnType):
        return hint, {}
    if typing.get_origin(hint) is Literal:
        return _common_type(typing.get_args(hint)), {}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _common_type([member.value for member in hint]), {}
    column_type = _COLUMN_TYPES.get(hint) or _COLUMN_TYPES.get(typing.get_origin(hint))
    if column_type is not None:
        return column_type, {}
    if _is_pil(hint):
        return Image, {}
    if is_numpy(hint):
        return Array, {}
    if hasattr(hint, "model_json_schema"):
        return Json, shape_of(_stored_schema(hint, name))
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint) or typing.get_origin(hint) is not None:
        return Json, {}
    msg = (
        f"udf {name}: the return hint {hint!r} names no column type; allowed: str, int, float, bool, dict, list, a "
        "pydantic model, numpy.ndarray, PIL.Image.Image, bytes, or a type of pxt_assets.types"
    )
    raise DefinitionError(msg)


def _common_type(values: Iterable[Any]) -> type[ColumnType]:
    """The column type of an Enum's or Literal's values, Json if they are of several types."""
    types_ = {type(value) for value in values if value is not None}
    return _COLUMN_TYPES.get(types_.pop(), Json) if len(types_) == 1 else Json


def _stored_schema(model: Any, name: str) -> Mapping[str, Any]:
    """The JSON schema of a pydantic model's stored value."""
    from pydantic.errors import PydanticUserError

    try:
        schema: Mapping[str, Any] = model.model_json_schema(mode="serialization", by_alias=False)
    except PydanticUserError as e:
        msg = f"udf {name}: {model.__name__} has no JSON schema: {e.message}"
        raise DefinitionError(msg) from e
    return schema


def _is_pil(hint: Any) -> bool:
    return getattr(hint, "__module__", "") == "PIL.Image" and getattr(hint, "__name__", "") == "Image"


def is_numpy(hint: Any) -> bool:
    """Whether a hint is an array of numpy's."""
    hint = typing.get_origin(hint) or hint
    return getattr(hint, "__module__", "") == "numpy" and getattr(hint, "__name__", "") == "ndarray"
