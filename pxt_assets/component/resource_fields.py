"""The fields of a resource that YAML may give, and their JSON schema."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, TypeAdapter

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.simulator import SimulatorOptions

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.fields import FieldInfo
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_HIDDEN_FIELDS = {"simulator"}


def declarable_fields(resource: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a resource that a user may give, by name."""
    return {name: field for name, field in resource.model_fields.items() if name not in _HIDDEN_FIELDS}


class ResourceFields:
    """Documents a field of the component by the fields of the resource that it declares."""

    def __init__(self, resource: type[BaseModel]) -> None:
        self._resource = resource

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        properties = {
            name: _property(field.annotation, field.description)
            for name, field in declarable_fields(self._resource).items()
        }
        return {"anyOf": [_declared(properties), _TEXT, {"type": "null"}], "default": None}


class SimulatorFields:
    """Documents a field of the component by what `OpenAIResource.simulated` takes."""

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        from docstring_parser import parse

        said = {one.arg_name: one.description for one in parse(OpenAIResource.simulated.__doc__ or "").params}
        options, fields = get_type_hints(SimulatorOptions), OpenAIResource.model_fields
        properties = {}
        for name in inspect.signature(OpenAIResource.simulated).parameters:
            if name in options:
                properties[name] = _property(options[name], said[name])
            else:
                properties[name] = _property(fields[name].annotation, fields[name].description)
        return {"anyOf": [_declared(properties), {"type": "null"}], "default": None}


_TEXT = {"type": "string"}
"""A template."""
_VARIABLE = {
    "type": "object",
    "properties": {"env": {"type": "string"}},
    "required": ["env"],
    "additionalProperties": False,
}


def _property(annotation: Any, description: str | None) -> dict[str, Any]:
    return {
        "description": description,
        "anyOf": [TypeAdapter[Any](annotation).json_schema(), _TEXT, _VARIABLE],
    }


def _declared(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}
