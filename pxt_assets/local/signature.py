"""A Python function's parameters as a JSON schema and a pydantic model, from its hints and docstring."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import DefinitionError
from pxt_assets.local.strict_schema import normalize, rewrite_schemas
from pxt_assets.values.json_text import dumps

if TYPE_CHECKING:
    import pydantic

_MISSING = object()


@dataclass(frozen=True)
class Signature:
    """A function's parameters."""

    description: str | None
    """The docstring's text before its sections."""
    schema: dict[str, Any]
    """The JSON schema of an object that holds the arguments."""
    arguments: type[pydantic.BaseModel]
    """The model that validates such an object. Its fields are in the parameters' order, aliased by their names."""


def signature_of(function: Callable[..., Any], who: str) -> Signature:
    """The parameters of a function. `who` begins the messages: "tool get_weather".

    Raises DefinitionError for a parameter without a type hint, with a hint that JSON knows nothing of, or that cannot
    be given by name.
    """
    parameters = _parameters(function, who)
    arguments = _arguments_model(parameters, who)
    description, parameter_descriptions = _parse_docstring(function)
    return Signature(
        description, _parameters_schema(arguments, parameters, parameter_descriptions), arguments
    )


def _parameters(function: Callable[..., Any], who: str) -> list[inspect.Parameter]:
    """A function's parameters with their hints resolved."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())
    except Exception as e:  # whatever evaluating a hint raises
        msg = (
            f"{who}: its type hints cannot be resolved ({e}); define what they name at the top of the module"
        )
        raise DefinitionError(msg) from e
    for p in parameters:
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            msg = f"{who}: got the parameter {p}, which is {p.kind.description}; allowed: those given by name"
            raise DefinitionError(msg)
        if p.name not in hints:
            msg = (
                f"{who}: the parameter {p.name} has no type hint; write what it takes, such as {p.name}: str"
            )
            raise DefinitionError(msg)
    return [p.replace(annotation=hints[p.name]) for p in parameters]


def _arguments_model(parameters: Sequence[inspect.Parameter], who: str) -> type[pydantic.BaseModel]:
    """A model whose fields are `p0`, `p1`, ...: not every name of a parameter can be a field's."""
    import pydantic
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    fields: dict[str, Any] = {}
    for i, p in enumerate(parameters):
        options: dict[str, Any] = {"alias": p.name, "validation_alias": p.name}
        if p.default is not p.empty:
            options["default_factory"] = (
                object  # marks it as optional; its value is never used, the function has the default
            )
        fields[f"p{i}"] = (p.annotation, pydantic.Field(**options))
    try:
        model: type[pydantic.BaseModel] = pydantic.create_model(
            "arguments", __config__=pydantic.ConfigDict(extra="forbid"), **fields
        )
        model.model_json_schema()
    except (PydanticUserError, PydanticUndefinedAnnotation) as e:
        raise DefinitionError(_unfit_hint_message(parameters, who, e)) from e
    return model


def _unfit_hint_message(parameters: Sequence[inspect.Parameter], who: str, error: Exception) -> str:
    """The error message for the first parameter whose hint has no JSON schema."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    for p in parameters:
        try:
            TypeAdapter(p.annotation).json_schema()
        except (PydanticUserError, PydanticUndefinedAnnotation) as e:
            reason = e.message.splitlines()[0]
            return (
                f"{who}: the parameter {p.name} is hinted {p.annotation!r}, which JSON cannot give: {reason}"
            )
    return f"{who}: {error}"


def _parameters_schema(
    model: type[pydantic.BaseModel], parameters: Sequence[inspect.Parameter], descriptions: Mapping[str, str]
) -> dict[str, Any]:
    """The model's JSON schema without titles, with descriptions from the docstring and defaults from the signature."""
    raw = model.model_json_schema()
    for p in parameters:
        node = raw["properties"][p.name]
        node.pop("default", None)
        if p.name in descriptions:
            node.setdefault("description", descriptions[p.name])
        default = _MISSING if p.default is p.empty else _as_json(p.default)
        if default is not _MISSING:
            node["default"] = default
    raw["required"] = [p.name for p in parameters if p.default is p.empty]
    schema = rewrite_schemas(raw, _without_title)
    order = ("$defs", "type", "properties", "required", "additionalProperties")
    return {key: schema[key] for key in order if key in schema}


def _without_title(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("title", None)
    return normalize(node)


def _as_json(default: object) -> Any:
    """A default as JSON; _MISSING if JSON cannot hold it, and for sets, whose order differs between processes."""
    from pydantic_core import to_jsonable_python

    if isinstance(default, set | frozenset):
        return _MISSING
    try:
        return json.loads(dumps(to_jsonable_python(default)))
    except ValueError:  # NaN too
        return _MISSING


def _parse_docstring(function: Callable[..., Any]) -> tuple[str | None, dict[str, str]]:
    """A docstring's text before its sections, and its parameters' descriptions by name."""
    import docstring_parser

    text = inspect.getdoc(function) or ""
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text or None, {}
    text = "\n\n".join(part for part in (parsed.short_description, parsed.long_description) if part)
    return text or None, {p.arg_name: " ".join(p.description.split()) for p in parsed.params if p.description}
