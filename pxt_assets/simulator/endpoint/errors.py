"""The errors that the API answers with, as one exception type and a function for each kind.

Their body is `{"error": {"message", "type", "param", "code"}}`. The wording is the API's, since people (and
programs) recognise errors by it; errors of the simulator alone say so.
"""

import json
from collections.abc import Iterable
from typing import Any

DOCS = "https://platform.openai.com"


class SimulatedError(Exception):
    """An answer that is not 200; `headers` are extra ones, names in lower case."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.headers = list(headers)

    def body(self) -> bytes:
        """The JSON of the answer."""
        error = {"message": str(self), "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


def bad_request(message: str, *, code: str | None = None, param: str | None = None) -> SimulatedError:
    """400: the request is malformed; retrying it is of no use."""
    return SimulatedError(400, message, code=code, param=param)


def missing_parameter(param: str) -> SimulatedError:
    """400: a required argument is absent."""
    return bad_request(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def wrong_type(param: str, expected: str, got: Any) -> SimulatedError:
    """400: an argument has another JSON type than `expected`, which names one with its article."""
    return bad_request(
        f"Invalid type for '{param}': expected {expected}, but got {json_type(got)} instead.",
        code="invalid_type",
        param=param,
    )


def wrong_value(param: str, got: Any, allowed: Iterable[str]) -> SimulatedError:
    """400: an argument is none of the `allowed` words."""
    return bad_request(
        f"Invalid value: '{got}'. Supported values are: {quoted_list(allowed)}.",
        code="invalid_value",
        param=param,
    )


def empty_array(param: str) -> SimulatedError:
    """400: an array is empty that must not be."""
    return bad_request(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
        code="empty_array",
        param=param,
    )


def unsupported_by_model(param: str, model: str) -> SimulatedError:
    """400: other models of the endpoint have this argument."""
    return bad_request(
        f"Unsupported parameter: '{param}' is not supported with the model '{model}'.",
        code="unsupported_parameter",
        param=param,
    )


def not_simulated_error(param: str, feature: str) -> SimulatedError:
    """400: the API has this feature, and the simulator does not."""
    return bad_request(f"{feature} is not simulated: leave out '{param}'.", code="not_simulated", param=param)


def invalid_json() -> SimulatedError:
    """400: the body is no JSON object."""
    return bad_request(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid "
        "JSON.)"
    )


def wrong_content_type(header: str, taken: Iterable[str]) -> SimulatedError:
    """400: a body of a content type that the endpoint does not take."""
    kind = header.partition(";")[0].strip()
    return bad_request(
        f"Unsupported content type: '{kind}'. This API method only accepts {quoted_list(taken)} requests, but you "
        f"specified the header 'Content-Type: {header}'. Please try again with a supported content type.",
        code="unsupported_content_type",
    )


def content_too_large(most: int) -> SimulatedError:
    """413: the body, or a file in it, has more than `most` bytes."""
    return SimulatedError(413, f"Maximum content size limit ({most}) exceeded")


def missing_key() -> SimulatedError:
    """401: no usable Authorization header."""
    return SimulatedError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). The simulator takes any key.",
        code="invalid_api_key",
    )


def refused_key(key: str) -> SimulatedError:
    """401: the key is one that the simulator refuses; it is shown masked, as the API does."""
    shown = f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) >= 20 else f"{key[:3]}*******"
    return SimulatedError(
        401,
        f"Incorrect API key provided: {shown}. You can find your API key at {DOCS}/account/api-keys.",
        code="invalid_api_key",
    )


def no_quota() -> SimulatedError:
    """429: the account has no money left. No wait helps, so there is no `retry-after`."""
    return SimulatedError(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more information "
        f"on this error, read the docs: {DOCS}/docs/guides/error-codes/api-errors.",
        type="insufficient_quota",
        code="insufficient_quota",
    )


def unknown_model(model: str, suggestion: str = "", endpoint: str = "") -> SimulatedError:
    """404: no such model, or one of another endpoint; `suggestion` says what may have been meant, as a sentence.

    At the Responses API it is a 400.
    """
    if endpoint == "responses":
        return _unknown_response_model(model, suggestion)
    meant = f"; {suggestion}" if suggestion else "."
    return SimulatedError(
        404,
        f"The model `{model}` does not exist or you do not have access to it{meant} "
        "(One that the simulator does not know can be named in its option `models`.)",
        code="model_not_found",
    )


def _unknown_response_model(model: str, suggestion: str) -> SimulatedError:
    meant = f" {suggestion[0].upper()}{suggestion[1:]}" if suggestion else ""
    return bad_request(
        f"The requested model '{model}' does not exist.{meant}", code="model_not_found", param="model"
    )


def unknown_url(method: str, path: str) -> SimulatedError:
    """404: no such path."""
    return SimulatedError(404, f"Invalid URL ({method} {path})", code="unknown_url")


def unknown_file(name: str) -> SimulatedError:
    """404: a picture that is no longer served, or never was."""
    return SimulatedError(
        404,
        f"There is no file `{name}`: a picture is served for an hour after its answer, or until newer ones "
        "need its room.",
        code="file_not_found",
    )


def wrong_method(method: str, path: str) -> SimulatedError:
    """405: the path exists for another method."""
    return SimulatedError(
        405,
        f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)",
        code="method_not_supported",
    )


def server_error() -> SimulatedError:
    """500 on demand."""
    return SimulatedError(
        500,
        "The server had an error while processing your request. Sorry about that! "
        "(A fault of the simulator.)",
        type="server_error",
        code="server_error",
    )


def server_overloaded() -> SimulatedError:
    """503 on demand."""
    return SimulatedError(
        503,
        "The server is currently overloaded. Please try again later. (A fault of the simulator.)",
        type="service_unavailable_error",
        code="server_is_overloaded",
    )


def quoted_list(words: Iterable[str]) -> str:
    """The quoted words (at least one) as error messages list them: "'a'", "'a' and 'b'", "'a', 'b', and 'c'"."""
    *most, last = (f"'{word}'" for word in words)
    return f"{', '.join(most)}{',' * (len(most) > 1)} and {last}" if most else last


def json_type(value: Any) -> str:
    """The JSON type of `value` with its article, as error messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "an unknown type")
