"""The arguments of the routes for files and batches, read with the messages of the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile

from pxt_assets.simulator.batches.file_records import KEPT_SECONDS
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import (
    bad_request,
    missing_parameter,
    not_simulated_error,
    wrong_type,
    wrong_value,
)

ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
"""What the API takes as a batch's endpoint."""
NOT_SIMULATED = ("/v1/completions", "/v1/videos")
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


@dataclass(frozen=True, slots=True)
class UploadArguments:
    """What an upload asks for."""

    file: UploadFile
    purpose: str
    kept_seconds: int | None
    """How long it is kept; None for ever."""


@dataclass(frozen=True, slots=True)
class BatchArguments:
    """What a new batch asks for."""

    input_file_id: str
    endpoint: str
    metadata: dict[str, str] | None
    output_seconds: int | None


@dataclass(frozen=True, slots=True)
class PageArguments:
    """Which part of a list is asked for."""

    after: str | None
    limit: int
    ascending: bool = False
    purpose: str | None = None


def read_upload(form: Mapping[str, str | UploadFile]) -> UploadArguments:
    """What a form asks for. Raises a 400 `SimulatedError` as the API would."""
    known = ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]")
    arguments.refuse_unknown_at(dict(form), known)
    file, purpose = form.get("file"), form.get("purpose")
    if file is None:
        raise missing_parameter("file")
    if not isinstance(file, UploadFile):
        raise wrong_type("file", "a file", file)
    if not isinstance(purpose, str):
        raise missing_parameter("purpose")
    if purpose not in PURPOSES:
        raise wrong_value("purpose", purpose, PURPOSES)
    if purpose == "batch" and not (file.filename or "").endswith(".jsonl"):
        raise bad_request(
            f"Invalid file format. The file '{file.filename}' of purpose 'batch' must be a .jsonl file.",
            param="file",
        )
    seconds = form.get("expires_after[seconds]")
    anchor = form.get("expires_after[anchor]")
    if seconds is None and anchor is None:
        return UploadArguments(file, purpose, KEPT_SECONDS if purpose == "batch" else None)
    given = {"anchor": anchor, "seconds": _number(seconds)}
    return UploadArguments(file, purpose, read_expiry({"expires_after": given}, "expires_after"))


def read_batch(body: dict[str, Any]) -> BatchArguments:
    """What a body asks for. Raises a 400 `SimulatedError` as the API would."""
    known = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")
    arguments.refuse_unknown_at(body, known)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if body.get(name) is None:
            raise missing_parameter(name)
        arguments.check_string(body, name)
    arguments.check_word(body, "endpoint", ENDPOINTS)
    if body["endpoint"] in NOT_SIMULATED:
        raise not_simulated_error("endpoint", f"A batch of '{body['endpoint']}'")
    arguments.check_word(body, "completion_window", ("24h",))
    arguments.check_metadata(body)
    expiry = read_expiry(body, "output_expires_after")
    return BatchArguments(body["input_file_id"], body["endpoint"], body.get("metadata"), expiry)


def read_page(query: Mapping[str, str], most: int, default: int, *, of_files: bool) -> PageArguments:
    """What a query asks for. Raises a 400 `SimulatedError` as the API would."""
    given: dict[str, Any] = dict(query)
    known = ("after", "limit", "order", "purpose") if of_files else ("after", "limit")
    arguments.refuse_unknown_at(given, known)
    given["limit"] = _number(given.get("limit"))
    limit = arguments.read_integer(given, "limit", 1, most)
    arguments.check_word(given, "order", ("asc", "desc"))
    return PageArguments(
        given.get("after"),
        default if limit is None else limit,
        given.get("order") == "asc",
        given.get("purpose"),
    )


def read_expiry(body: dict[str, Any], name: str) -> int | None:
    """Seconds after which a file expires: from an hour to thirty days."""
    if body.get(name) is None:
        return None
    given = arguments.read_object(body[name], name)
    arguments.refuse_unknown_at(given, ("anchor", "seconds"), name)
    for key in ("anchor", "seconds"):
        if given.get(key) is None:
            raise missing_parameter(f"{name}.{key}")
    arguments.check_word(given, "anchor", ("created_at",), at=name)
    return arguments.read_integer(given, "seconds", 3_600, 2_592_000)


def _number(text: Any) -> Any:
    """What a form or a query, which holds texts alone, means as an integer."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else text
