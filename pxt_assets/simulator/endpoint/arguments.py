"""Checks of single arguments, with the messages and codes of the API. An absent or null argument passes.

`at` is the path, in the request, of an object within the body; it is empty for the body itself.
"""

from collections.abc import Collection, Iterable
from typing import Any

from pxt_assets.simulator.endpoint.errors import bad_request, missing_parameter, wrong_type, wrong_value


def refuse_unknown(body: dict[str, Any], known: Collection[str]) -> None:
    """Raise a 400 that names every top-level argument the API does not know."""
    unknown = sorted(body.keys() - known)
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise bad_request(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")


def refuse_unknown_at(value: dict[str, Any], known: Collection[str], at: str = "") -> None:
    """Raise a 400 for the first key of `value` that the API does not know, as the newer endpoints do."""
    for name in value:
        if name not in known:
            param = _path(at, name)
            raise bad_request(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def read_model(body: dict[str, Any], default: str | None = None) -> str:
    """The model's name; raises a 400 where there is none."""
    model = body.get("model", default)
    if not isinstance(model, str) or not model:
        raise bad_request("you must provide a model parameter", param="model" if "model" in body else None)
    return model


def read_integer(
    body: dict[str, Any], name: str, low: int | None = None, high: int | None = None
) -> int | None:
    """An integer from `low` to `high`."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    _check_range(name, value, low, high, "integer")
    return value


def check_number(body: dict[str, Any], name: str, low: float, high: float) -> None:
    """A number from `low` to `high`."""
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a decimal", value)
    _check_range(name, value, low, high, "decimal")


def _check_range(name: str, value: float, low: float | None, high: float | None, kind: str) -> None:
    if low is not None and value < low:
        raise bad_request(
            f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead.",
            code=f"{kind}_below_min_value",
            param=name,
        )
    if high is not None and value > high:
        raise bad_request(
            f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead.",
            code=f"{kind}_above_max_value",
            param=name,
        )


def read_boolean(body: dict[str, Any], name: str, *, at: str = "") -> bool:
    """A boolean; False where absent."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(_path(at, name), "a boolean", value)
    return bool(value)


def check_word(body: dict[str, Any], name: str, allowed: Iterable[str], *, at: str = "") -> None:
    """One of the `allowed` strings."""
    value = body.get(name)
    if value is None:
        return
    if not isinstance(value, str):
        raise wrong_type(_path(at, name), "a string", value)
    if value not in allowed:
        raise wrong_value(_path(at, name), value, allowed)


def check_string(body: dict[str, Any], name: str, longest: int | None = None, *, at: str = "") -> None:
    """A string of at most `longest` characters."""
    value = body.get(name)
    if value is None:
        return
    param = _path(at, name)
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if longest is not None and len(value) > longest:
        raise bad_request(
            f"Invalid '{param}': string too long. Expected a string with maximum length {longest}, "
            f"but got a string with length {len(value)} instead.",
            code="string_above_max_length",
            param=param,
        )


def check_metadata(body: dict[str, Any]) -> None:
    """`metadata`: at most 16 strings of at most 512 characters, with keys of at most 64."""
    if body.get("metadata") is None:
        return
    metadata = read_object(body["metadata"], "metadata")
    if len(metadata) > 16:
        raise bad_request(
            "Invalid 'metadata': object has too many properties. Expected an object with maximum 16 properties, "
            f"but got an object with {len(metadata)} properties instead.",
            code="object_above_max_properties",
            param="metadata",
        )
    for key in metadata:
        if len(key) > 64:
            raise bad_request(
                "Invalid 'metadata': a key is too long. Expected keys with maximum length 64, but got a key with "
                f"length {len(key)} instead.",
                code="string_above_max_length",
                param="metadata",
            )
        read_string_at(metadata, key, "metadata")
        check_string(metadata, key, 512, at="metadata")


def read_array(value: Any, param: str) -> list[Any]:
    """`value`, which must be an array; `param` is its path in the request."""
    if not isinstance(value, list):
        raise wrong_type(param, "an array", value)
    return value


def read_object(value: Any, param: str) -> dict[str, Any]:
    """`value`, which must be an object; `param` is its path in the request."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    return value


def read_string_at(value: dict[str, Any], key: str, param: str) -> str:
    """The required string `value[key]`; `param` is the path of `value` in the request."""
    if key not in value:
        raise missing_parameter(f"{param}.{key}")
    if not isinstance(value[key], str):
        raise wrong_type(f"{param}.{key}", "a string", value[key])
    return str(value[key])
