"""POST /v1/embeddings: which requests are refused, and the answer."""

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request, missing_parameter, wrong_type
from pxt_assets.simulator.vectors import hashed_vectors, word_tokens

KNOWN = frozenset(("model", "input", "encoding_format", "dimensions", "user"))
"""Every top-level argument of the API."""

MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 8192
MAX_REQUEST_TOKENS = 300_000


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A valid request for embeddings."""

    model: str
    inputs: list[str] | list[list[int]]
    tokens: int
    """Tokens of all inputs, for the limit and for `usage`."""
    dimensions: int
    base64: bool

    def charge(self, *, count_max_tokens: bool) -> int:  # noqa: ARG002 - there is no max_tokens here
        """Tokens that the limit is charged."""
        return self.tokens

    def answer(self, digest: str) -> Answer:  # noqa: ARG002 - the API gives embeddings no id
        """One embedding per input, of length 1."""
        texts = [
            word_tokens(text) if isinstance(text, str) else [str(token) for token in text]
            for text in self.inputs
        ]
        write = _write_base64 if self.base64 else _write_floats
        vectors = hashed_vectors(texts, self.dimensions)
        data = ",".join(
            f'{{"object":"embedding","index":{index},"embedding":{write(vector)}}}'
            for index, vector in enumerate(vectors)
        )
        usage = {"prompt_tokens": self.tokens, "total_tokens": self.tokens}
        rest = f'"model":{json.dumps(self.model)},"usage":{json.dumps(usage)}'
        body = f'{{"object":"list","data":[{data}],{rest}}}'
        return Answer(body.encode(), self.tokens, inputs=len(self.inputs))


def read_embedding_call(body: dict[str, Any]) -> EmbeddingCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    arguments.refuse_unknown(body, KNOWN)
    model = arguments.read_model(body)
    arguments.check_word(body, "encoding_format", ("float", "base64"))
    arguments.check_string(body, "user")
    inputs = _read_inputs(body)
    return EmbeddingCall(
        model,
        inputs,
        _count_tokens(inputs),
        _read_dimensions(body, model),
        body.get("encoding_format") == "base64",
    )


def _read_inputs(body: dict[str, Any]) -> list[str] | list[list[int]]:
    """The inputs as a list of texts or a list of token lists."""
    value = body.get("input")
    if value is None:
        raise missing_parameter("input")
    inputs = [value] if isinstance(value, str) or _is_token_list(value) else value
    if not isinstance(inputs, list):
        raise wrong_type("input", "a string or an array", inputs)
    if len(inputs) > MAX_INPUTS:
        raise bad_request(
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_INPUTS}, but got "
            f"an array with length {len(inputs)} instead.",
            code="array_above_max_length",
            param="input",
        )
    texts = all(isinstance(text, str) for text in inputs)
    if not inputs or not all(inputs) or not (texts or all(map(_is_token_list, inputs))):
        raise _invalid_input()
    return inputs


def _is_token_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _invalid_input() -> SimulatedError:
    return bad_request(
        "'$.input' is invalid: expected a non-empty string, or an array of non-empty strings or of token "
        "arrays. Please check the API reference: https://platform.openai.com/docs/api-reference."
    )


def _count_tokens(inputs: list[str] | list[list[int]]) -> int:
    """Tokens of all inputs. Raises a 400 if one of them, or their sum, exceeds the limit of the API."""
    total = 0
    for index, text in enumerate(inputs):
        tokens = estimate_tokens(len(text)) if isinstance(text, str) else len(text)
        if tokens > MAX_INPUT_TOKENS:
            raise bad_request(f"Invalid 'input[{index}]': maximum input length is {MAX_INPUT_TOKENS} tokens.")
        total += tokens
    if total > MAX_REQUEST_TOKENS:
        raise SimulatedError(
            400,
            f"Requested {total} tokens, max {MAX_REQUEST_TOKENS} tokens per request",
            type="max_tokens_per_request",
            code="max_tokens_per_request",
        )
    return total


def _read_dimensions(body: dict[str, Any], model: str) -> int:
    full = 3072 if "large" in model else 1536
    dimensions = arguments.read_integer(body, "dimensions", 1)
    if dimensions is None:
        return full
    if not model.startswith("text-embedding-3-"):
        raise bad_request("This model does not support specifying dimensions.", param="dimensions")
    if dimensions > full:
        raise bad_request(
            f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {full}.",
            param="dimensions",
        )
    return dimensions


def _write_base64(vector: npt.NDArray[np.float32]) -> str:
    return f'"{b64encode(vector.astype("<f4", copy=False).tobytes()).decode()}"'


def _write_floats(vector: npt.NDArray[np.float32]) -> str:
    # Most features of a text are zeros, and formatting floats is what takes time here.
    positions = np.flatnonzero(vector)
    numbers = ["0.0"] * len(vector)
    for position, value in zip(positions.tolist(), vector[positions].tolist(), strict=True):
        numbers[position] = repr(value)
    return f"[{','.join(numbers)}]"
