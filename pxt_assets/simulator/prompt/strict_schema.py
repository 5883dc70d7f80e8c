"""The API's rules for a JSON schema with `strict: true`: those that are broken most often."""

from typing import Any

from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request

_NESTED = ("anyOf", "allOf", "oneOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")


def check_strict(schema: dict[str, Any], subject: str, param: str) -> None:
    """Raise a 400 unless every object in `schema` is closed and requires all of its properties.

    `subject` names the schema in the message, such as "response_format 'answer'".
    """
    if schema.get("type") != "object":
        raise _schema_error(
            f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'.",
            subject,
            param,
        )
    try:
        _check_objects(schema, (), subject, param)
    except RecursionError:
        raise _schema_error("it is nested too deeply.", subject, param) from None


def _check_objects(schema: Any, context: tuple[str, ...], subject: str, param: str) -> None:
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise _schema_error(
                f"In context={context}, 'additionalProperties' is required to be supplied and to be false.",
                subject,
                param,
            )
        required = schema.get("required")
        for name in schema.get("properties") or {}:
            if not isinstance(required, list) or name not in required:
                raise _schema_error(
                    f"In context={context}, 'required' is required to be supplied and to be an array "
                    f"including every key in properties. Missing '{name}'.",
                    subject,
                    param,
                )
    for keyword in _NAMED:
        named = schema.get(keyword)
        if isinstance(named, dict):
            for name, inner in named.items():
                _check_objects(inner, (*context, keyword, name), subject, param)
    for keyword in _NESTED:
        nested = schema.get(keyword)
        if isinstance(nested, list):
            for index, inner in enumerate(nested):
                _check_objects(inner, (*context, keyword, str(index)), subject, param)
    _check_objects(schema.get("items"), (*context, "items"), subject, param)


def _schema_error(reason: str, subject: str, param: str) -> SimulatedError:
    return bad_request(f"Invalid schema for {subject}: {reason}", code="invalid_json_schema", param=param)
