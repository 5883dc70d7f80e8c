"""The functions that a request offers for calling; the same for all endpoints."""

import re
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import bad_request
from pxt_assets.simulator.prompt.strict_schema import check_strict

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called."""

    name: str
    description: str
    parameters: dict[str, Any]


def read_name(value: dict[str, Any], path: str) -> str:
    """The required `name` of a function or a schema; `path` is its path in the request."""
    name = arguments.read_string_at(value, "name", path)
    if not _NAME.fullmatch(name):
        raise bad_request(
            f"Invalid '{path}.name': string does not match pattern. Expected a string that matches the "
            "pattern '^[a-zA-Z0-9_-]{1,64}$'.",
            code="invalid_value",
            param=f"{path}.name",
        )
    return name


def read_function(value: dict[str, Any], path: str) -> Tool:
    """The function that an object with `name`, `description`, `parameters` and `strict` declares."""
    name = read_name(value, path)
    arguments.check_string(value, "description", at=path)
    parameters = arguments.read_object(value.get("parameters") or {}, f"{path}.parameters")
    if arguments.read_boolean(value, "strict", at=path):
        check_strict(parameters, f"function '{name}'", f"{path}.parameters")
    return Tool(name, value.get("description") or "", parameters)
