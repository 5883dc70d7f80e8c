"""The fields of a resource that YAML may give, and their JSON schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

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
        text = {"type": "string"}  # a template
        variable = {
            "type": "object",
            "properties": {"env": {"type": "string"}},
            "required": ["env"],
            "additionalProperties": False,
        }
        properties = {}
        for name, field in declarable_fields(self._resource).items():
            annotation: Any = field.annotation
            schema = TypeAdapter[Any](annotation).json_schema()
            properties[name] = {"description": field.description, "anyOf": [schema, text, variable]}
        declared = {"type": "object", "properties": properties, "additionalProperties": False}
        return {"anyOf": [declared, text, {"type": "null"}], "default": None}
