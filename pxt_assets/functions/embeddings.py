"""`embeddings`: a vector for each row's text, many rows to a request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from pxt_assets.api.request import Endpoint, ParsedAnswer
from pxt_assets.api.stated_usage import model_of, usage_of
from pxt_assets.errors import CellError
from pxt_assets.functions.declare import api_function, require_text, short_repr, text_of, with_kwargs
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values import base64_text
from pxt_assets.values.types import Array

_PATH = "/embeddings"
MAX_INPUTS = 2_048
"""Inputs a request (the API's limit)."""
_ENCODING = "encoding_format"
_ENCODINGS: tuple[Mapping[str, Any], ...] = ({_ENCODING: "base64"}, {_ENCODING: "float"}, {})
"""base64 is a third of the bytes of JSON floats, and takes a hundredth of the time to decode."""
MAX_TOKENS = 250_000.0
"""Estimated tokens a request: the API's limit is 300,000 tokens, and the estimate may be some way below."""


def _pack(bodies: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {**bodies[0], "input": [body["input"] for body in bodies], **_ENCODINGS[0]}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer = _loads(body)
    cells = len(request["input"])
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or len(data) != cells:
        msg = f"the answer does not hold the {cells} vectors asked for"
        raise ValueError(msg)
    items = _in_order(data)
    vectors = _matrix(items)
    values: list[Any] = (
        _of_one_length([_vector_or_error(item) for item in items]) if vectors is None else list(vectors)
    )
    return ParsedAnswer(values, usage_of(answer), model_of(answer))


def _loads(body: bytes) -> Any:
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:  # what pydantic's parser does not read
        return json.loads(body)


def _matrix(items: Sequence[Any]) -> Any:
    """All vectors as one `float32[cells, dim]`, whose rows are no copies; None unless each is as the API sends it."""
    import numpy as np

    texts: list[Any] = [item.get("embedding") if type(item) is dict else None for item in items]
    if any(type(text) is not str or len(text) != len(texts[0]) for text in texts):
        return None
    matrix = None
    try:
        for number, text in enumerate(texts):
            vector = np.frombuffer(base64_text.decode(text), "<f4")
            if matrix is None:
                matrix = np.empty((len(texts), len(vector)), np.float32)
            if len(vector) != matrix.shape[1]:
                return None
            matrix[number] = vector
    except ValueError:  # no base64, or not of whole numbers
        return None
    return matrix if matrix is not None and matrix.size and np.isfinite(matrix).all() else None


def _in_order(data: Sequence[Any]) -> Sequence[Any]:
    """The items of an answer in the order of the texts: by `index`, by position where none is given.

    Some servers leave out `index` where it is 0, others always. Raises ValueError for numbers that are given twice, too
    high, or contradict the position of an item without one.
    """
    given = [item.get("index") if isinstance(item, dict) else None for item in data]
    if all(type(index) is int for index in given) and given == list(range(len(data))):
        return data
    missing = set(range(len(data))) - {index for index in given if type(index) is int}
    if given.count(None) == 1 and len(missing) == 1:
        given[given.index(None)] = missing.pop()
    elif None in given:
        given = [i if index is None else index for i, index in enumerate(given)]
        if given != list(range(len(data))):
            msg = "the answer's vectors do not say whose they are: some have an `index`, and others none"
            raise ValueError(msg)
    numbers = [index for index in given if type(index) is int]
    if len(numbers) != len(data) or sorted(numbers) != list(range(len(data))):
        msg = f"the answer's vectors do not say whose they are: `index` is not each of 0 to {len(data) - 1}"
        raise ValueError(msg)
    return [data[i] for i in sorted(range(len(data)), key=numbers.__getitem__)]


def _vector_or_error(item: object) -> Any:
    """A row's vector, `float32[dim]`, or the CellError that says why there is none."""
    embedding = item.get("embedding") if isinstance(item, Mapping) else item
    try:
        return _vector(embedding)
    except ValueError as e:
        return CellError("InvalidAnswer", f"{_PATH} answered with something else than documented: {e}")


def _vector(embedding: object) -> Any:
    """`float32[dim]`, from base64 of little-endian floats, or from the list that some servers send instead."""
    import numpy as np

    if isinstance(embedding, str):
        vector = np.frombuffer(base64_text.decode(embedding.replace("\n", "")), "<f4")
    else:
        try:
            with np.errstate(over="ignore"):  # too large a number is infinite, which is told below
                vector = np.asarray(embedding, np.float32)
        except (TypeError, OverflowError) as e:  # the list holds something else than numbers
            raise ValueError(str(e)) from e
    if vector.ndim != 1 or not len(vector) or not isinstance(embedding, str | list):
        msg = f"the answer holds {short_repr(embedding)} in place of a vector"
        raise ValueError(msg)
    if not np.isfinite(vector).all():
        msg = "the answer holds a vector with NaN, an infinite number or a null in it"
        raise ValueError(msg)
    return vector


def _of_one_length(values: list[Any]) -> list[Any]:
    """The vectors, with a CellError in place of those of another length than most.

    Raises ValueError if no length is that of most.
    """
    lengths = Counter(len(value) for value in values if not isinstance(value, CellError))
    if len(lengths) <= 1:
        return values
    (usual, count), *_ = lengths.most_common(1)
    if 2 * count <= lengths.total():
        msg = f"the answer holds vectors of different lengths: {', '.join(map(str, sorted(lengths)))}"
        raise ValueError(msg)
    msg = (
        f"{_PATH} answered with a vector of {{}} numbers, and with {usual} for most texts of the same request"
    )
    return [
        value
        if isinstance(value, CellError) or len(value) == usual
        else CellError("InvalidAnswer", msg.format(len(value)))
        for value in values
    ]


def _size(body: Mapping[str, Any]) -> RequestSize:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    return RequestSize(text=float(sum(request_size(len(text)).text for text in inputs)))


_ENDPOINT = Endpoint(
    _PATH,
    parse=_parse,
    size=_size,
    max_cells=MAX_INPUTS,
    max_tokens=MAX_TOKENS,
    pack=_pack,
    encodings=_ENCODINGS,
)


@api_function(_ENDPOINT, returns=Array, text_at=text_of("input"))
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
    if body.get(_ENCODING) not in (None, "float", "base64"):
        msg = f"{_ENCODING}: got {short_repr(body[_ENCODING])}, allowed: 'float' or 'base64', as a row's vector is float32"
        raise CellError("ValueError", msg)
    return body
