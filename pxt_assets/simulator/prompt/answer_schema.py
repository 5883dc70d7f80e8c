"""The schema that a request sets for its answer; the same for all endpoints."""

from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.prompt.strict_schema import check_strict
from pxt_assets.simulator.prompt.tools import read_name


def read_answer_schema(value: dict[str, Any], path: str, *, strict_param: str) -> dict[str, Any]:
    """The schema of an object with `name`, `schema` and `strict`; `path` is its path in the request.

    Raises a 400 for a malformed one. `strict_param` is the parameter that the API names in the error for a
    strict schema that is not closed.
    """
    name = read_name(value, path)
    arguments.check_string(value, "description", at=path)
    schema = arguments.read_object(value.get("schema", {}), f"{path}.schema")
    if arguments.read_boolean(value, "strict", at=path):
        check_strict(schema, f"response_format '{name}'", strict_param)
    return schema
