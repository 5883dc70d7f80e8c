"""The lines of a batch's file, and what is wrong with them before any is answered, in the API's words."""

import json
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint.errors import json_type

MAX_REQUESTS = 50_000
MAX_BYTES = 200 * 1024 * 1024
MAX_INPUTS = 50_000
"""Embedding inputs of all requests of a batch."""
MAX_ERRORS = 100
"""Errors that a batch states; those behind them are left out."""

Error = dict[str, Any]
_MEMBERS: dict[str, type] = {"custom_id": str, "method": str, "url": str, "body": dict}


@dataclass(frozen=True, slots=True)
class InputLine:
    """One request of a batch."""

    number: int
    """From 1 onwards."""
    custom_id: str
    body: dict[str, Any]


class LineReader:
    """Reads the lines of one file, and notes what is wrong with them."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the batch's, such as "/v1/embeddings"."""
        self.errors: list[Error] = []
        self.model: str | None = None
        """The model of all requests, once one names it."""
        self.count = 0
        self._endpoint = endpoint
        self._custom_ids: set[str] = set()
        self._inputs = 0

    def read(self, line: bytes) -> InputLine | None:
        """The request of the next line; None if it is wrong."""
        self.count += 1
        number = self.count
        if number > MAX_REQUESTS:
            if number == MAX_REQUESTS + 1:
                self.refuse(
                    "too_many_tasks",
                    f"The number of requests in the input file exceeds the maximum allowed value of {MAX_REQUESTS:,}.",
                )
            return None
        try:
            return self._check(_read_object(line), number)
        except _WrongLineError as wrong:
            self.refuse(wrong.code, str(wrong), param=wrong.param, line=number)
            return None

    def note_model(self, model: str, number: int) -> bool:
        """Whether a request's model is that of the requests before it; else that is wrong."""
        if self.model is None:
            self.model = model
        if model == self.model:
            return True
        self.refuse(
            "model_mismatch",
            f"The provided model '{model}' does not match the model '{self.model}' of the requests before it. A batch is of "
            "one model.",
            param="body.model",
            line=number,
        )
        return False

    def note_inputs(self, count: int) -> None:
        """Counts the inputs of a request for embeddings."""
        before, self._inputs = self._inputs, self._inputs + count
        if before <= MAX_INPUTS < self._inputs:
            self.refuse(
                "too_many_tasks",
                f"The number of embedding inputs in the input file exceeds the maximum allowed value of {MAX_INPUTS:,}.",
            )

    def refuse(self, code: str, message: str, *, param: str | None = None, line: int | None = None) -> None:
        """Notes what is wrong."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"code": code, "line": line, "message": message, "param": param})

    def end(self) -> None:
        """Notes what is wrong with the file as a whole."""
        if self.count == 0:
            self.refuse("empty_file", "The input file is empty. A batch has to hold at least one request.")

    def _check(self, request: dict[str, Any], number: int) -> InputLine:
        for name, kind in _MEMBERS.items():
            value = request.get(name)
            if value is None or value == "":
                raise _WrongLineError(
                    "missing_required_parameter", f"Missing required parameter: '{name}'.", name
                )
            if not isinstance(value, kind):
                expected = "a string" if kind is str else "an object"
                message = (
                    f"Invalid type for '{name}': expected {expected}, but got {json_type(value)} instead."
                )
                raise _WrongLineError("invalid_type", message, name)
        method, url, custom_id = request["method"], request["url"], request["custom_id"]
        if method != "POST":
            raise _WrongLineError(
                "invalid_method", f"The method '{method}' is not supported: it has to be 'POST'.", "method"
            )
        if url != self._endpoint:
            message = f"The URL '{url}' provided for this request does not match the batch endpoint '{self._endpoint}'."
            raise _WrongLineError("url_mismatch", message, "url")
        if custom_id in self._custom_ids:
            message = (
                f"The custom_id '{custom_id}' for this request is a duplicate of another request. The custom_id parameter "
                "must be unique for each request in a batch."
            )
            raise _WrongLineError("duplicate_custom_id", message, "custom_id")
        self._custom_ids.add(custom_id)
        return InputLine(number, custom_id, request["body"])


class _WrongLineError(Exception):
    """What is wrong with a line, in the API's words."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def _read_object(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise _WrongLineError("invalid_json_line", "This line is not parseable as valid JSON.")
    return request


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON")
