"""What a request holds: its key, and its body as an object."""

import json
from typing import Any

from starlette.requests import Request

from pxt_assets.simulator.endpoint import errors
from pxt_assets.simulator.endpoint.endpoint import FORM, JSON
from pxt_assets.simulator.endpoint.multipart import digest_of_form, read_form


def read_key(request: Request) -> str:
    """The API key. Raises a 401 without one, or for one that starts with `sk-invalid`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or " " in key:
        raise errors.missing_key()
    if key.startswith("sk-invalid"):
        raise errors.refused_key(key)
    return key


async def read_body(request: Request, content_types: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    """The body as an object, and bytes that are equal for equal requests.

    Raises a 400 for a body that is broken, or of a content type that the endpoint does not take.
    """
    header = request.headers.get("content-type", JSON)
    kind = header.partition(";")[0].strip().lower()
    if kind not in content_types:
        raise errors.wrong_content_type(header, content_types)
    if kind == FORM:
        body = await read_form(request)
        return body, digest_of_form(body)
    raw = await request.body()
    return read_json(raw), raw


def read_json(raw: bytes) -> dict[str, Any]:
    """The object that a body holds. Raises a 400 for anything else."""
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise errors.invalid_json() from None
    if not isinstance(body, dict):
        raise errors.invalid_json()
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON")
