"""`embeddings`: a vector for each row's text, many rows to a request."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pxt_assets.api.request import Endpoint, ParsedAnswer
from pxt_assets.errors import CellError
from pxt_assets.functions.declare import (
    api_function,
    model_of,
    require_text,
    short_repr,
    usage_of,
    with_kwargs,
)
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values.types import Array

MAX_INPUTS = 2_048
"""Inputs a request (the API's limit)."""
MAX_TOKENS = 250_000.0
"""Estimated tokens a request: the API's limit is 300,000 tokens, and the estimate may be some way below."""


def _pack(bodies: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The body for several inputs. Vectors are asked for as base64: a third of the bytes of JSON floats, and a hundredth
    of the time to decode.
    """
    inputs = [body["input"] for body in bodies]
    return {**bodies[0], "input": inputs, "encoding_format": "base64"}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer = json.loads(body)
    cells = len(request["input"])
    data = answer.get("data") if isinstance(answer, dict) else None
    if (
        not isinstance(data, list)
        or not all(isinstance(item, Mapping) and isinstance(item.get("index"), int) for item in data)
        or sorted(item["index"] for item in data) != list(range(cells))
    ):
        msg = f"the answer does not hold the {cells} vectors asked for"
        raise ValueError(msg)
    vectors = [_vector(item.get("embedding")) for item in sorted(data, key=lambda item: int(item["index"]))]
    return ParsedAnswer(vectors, usage_of(answer), model_of(answer))


def _vector(embedding: object) -> Any:
    """`float32[dim]`, from base64 of little-endian floats, or from the list that some servers send instead."""
    import numpy as np

    if isinstance(embedding, str):
        vector = np.frombuffer(base64.b64decode(embedding), "<f4")
    else:
        try:
            vector = np.asarray(embedding, np.float32)
        except TypeError as e:  # the list holds something else than numbers
            raise ValueError(str(e)) from e
    if vector.ndim != 1 or not len(vector):
        msg = f"the answer holds {short_repr(embedding)} in place of a vector"
        raise ValueError(msg)
    return vector


def _size(body: Mapping[str, Any]) -> RequestSize:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    return RequestSize(text=float(sum(request_size(len(text)).text for text in inputs)))


_ENDPOINT = Endpoint(
    "/embeddings", parse=_parse, size=_size, max_cells=MAX_INPUTS, max_tokens=MAX_TOKENS, pack=_pack
)


@api_function(_ENDPOINT, returns=Array)
def embeddings(input: Any, *, model: Any, model_kwargs: Any = None, **kwargs: Any) -> Mapping[str, Any]:
    """The embedding vector of a text: the API's `embeddings`, as `float32[dim]`.

    Many rows travel in one request. Throttled by the rate-limit headers of the API; no configuration is needed.

    Args:
        input: the text; at most 8,192 tokens, not empty (the API refuses both, which is that row's error).
        model: the model's name.
        model_kwargs: other arguments of the API, as a dict: `{"dimensions": 256}`.
        kwargs: other arguments of the API, one by one: `dimensions=256`.

    Example:
        ```python
        tbl.add_computed_column(embed=embeddings(tbl.text, model="text-embedding-3-small"))
        ```

    Source: https://platform.openai.com/docs/api-reference/embeddings
    """
    if not require_text(input, "input"):
        msg = "input: got an empty text, which the API refuses; filter such rows upstream or make them null"
        raise CellError("ValueError", msg)
    body = with_kwargs({"input": input, "model": model}, model_kwargs, kwargs)
    return {k: v for k, v in body.items() if k != "encoding_format"}
