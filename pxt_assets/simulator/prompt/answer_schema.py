"""The schema that a request sets for its answer, at whichever endpoint."""

from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.prompt.strict_schema import check_strict
from pxt_assets.simulator.prompt.tools import read_name


def read_answer_schema(value: dict[str, Any], place: str, *, strict_param: str) -> dict[str, Any]:
    """The schema of an object with `name`, `schema` and `strict`; `place` is its path in the request.

    Raises a 400 for a malformed one. `strict_param` is what the API names where a strict schema is not closed.
    """
    name = read_name(value, place)
    arguments.check_string(value, "description", at=place)
    schema = arguments.read_object(value.get("schema", {}), f"{place}.schema")
    if arguments.read_boolean(value, "strict", at=place):
        check_strict(schema, f"response_format '{name}'", strict_param)
    return schema
