"""Queries: texts, images and vectors, and embedding them into the index's space."""

from __future__ import annotations

import asyncio
import numbers
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from pxt_assets.errors import CellError, DefinitionError, SearchError
from pxt_assets.expressions.expr import Call
from pxt_assets.index.spec import IndexSpec
from pxt_assets.values.conversion import check_value
from pxt_assets.values.media import Media, is_image, media_of
from pxt_assets.values.types import Image

if TYPE_CHECKING:
    from pxt_assets.api.client import Client
    from pxt_assets.api.openai_resource import OpenAIResource
    from pxt_assets.compute.asking.cell_calls import CellCalls
    from pxt_assets.index.search import Vector

QueryKind = Literal["text", "image", "vector"]
_ALLOWED = "a text, an image (PIL image, bytes or pathlib.Path), a vector (numbers), or a list of these"


@dataclass(frozen=True)
class Queries:
    """One query or several, each with its kind and value."""

    values: Sequence[tuple[QueryKind, Any]]
    is_single: bool


def queries_of(query: object, label: str) -> Queries:
    """The queries that a user gave. Raises SearchError, which begins with `label`."""
    one = _parse_query(query)
    if one is not None:
        return Queries([one], is_single=True)
    if hasattr(query, "to_pylist"):  # an array or a column of Arrow's
        query = query.to_pylist()
    if isinstance(query, list | tuple) or getattr(query, "ndim", 0) == 2:
        several = [_parse_query(each) for each in query]  # type: ignore[attr-defined]
        known = [each for each in several if each is not None]
        if len(known) == len(several):
            return Queries(known, is_single=False)
        position = several.index(None)
        msg = f"{label}: query {position} is {_short_repr(query[position])}, allowed: {_ALLOWED}"  # type: ignore[index]
        raise SearchError(msg)
    msg = f"{label}: got {_short_repr(query)} as a query, allowed: {_ALLOWED}"
    raise SearchError(msg)


def _parse_query(query: Any) -> tuple[QueryKind, Any] | None:
    if isinstance(query, str):
        return "text", query
    if isinstance(query, bytes | Media | PurePath) or is_image(query):
        return "image", query
    if getattr(query, "ndim", None) == 1 or (
        isinstance(query, list | tuple) and query and all(isinstance(v, numbers.Real) for v in query)
    ):
        import numpy as np

        try:
            return "vector", np.asarray(query, np.float32)
        except (TypeError, ValueError):
            return None
    return None


def _short_repr(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"


async def vectors_of(
    queries: Sequence[tuple[QueryKind, Any]],
    spec: IndexSpec,
    openai: OpenAIResource | None,
    on_simulated: Callable[[bool], None],
) -> list[Vector]:
    """The queries as vectors, texts and images embedded by the functions of the index, through the same limiter.

    `on_simulated` is called with whether a simulator embeds them, before anything is sent.
    Raises SearchError for a query that cannot be embedded, RunError as the client does.
    """
    embedding_calls = {
        i: _embedding_call(kind, value, spec) for i, (kind, value) in enumerate(queries) if kind != "vector"
    }
    embedded: dict[int, Any] = {}
    if embedding_calls:
        from pxt_assets.api.meter import Meter
        from pxt_assets.compute.asking.cell_calls import CellCalls

        needs_api = any(not call._function.local for call in embedding_calls.values())
        async with AsyncExitStack() as stack:
            client: Client | None = None
            if needs_api:
                if openai is None:
                    msg = (
                        f"{spec.label}: the query is to be embedded by the API, but the EmbeddingIndexes resource knows none; "
                        "give it one, EmbeddingIndexes(..., openai=OpenAIResource()), or search by a vector"
                    )
                    raise SearchError(msg)
                client = await stack.enter_async_context(openai.client())
                on_simulated(await client.is_simulated())
            calls = CellCalls(client, Meter())
            try:
                values = await asyncio.gather(
                    *(_embed_query(calls, call, spec) for call in embedding_calls.values())
                )
            finally:
                calls.close()
        embedded = dict(zip(embedding_calls, values, strict=True))
    return [embedded.get(i, value) for i, (_, value) in enumerate(queries)]


def _embedding_call(kind: QueryKind, value: Any, spec: IndexSpec) -> Call:
    assert kind != "vector"
    embedder = spec.embedders.for_modality(kind)
    if embedder is None:
        known = [one for one in ("text", "image") if spec.embedders.for_modality(one) is not None]
        option = "string_embed" if kind == "text" else "image_embed"
        msg = (
            f"{spec.label}: got a query by {kind}, but the index can be searched by {' and '.join([*known, 'vector'])} alone; "
            f"name the function that embeds {kind}s into the same space: add_embedding_index(..., {option}=...)"
        )
        raise SearchError(msg)
    try:
        return embedder(media_of(value, Image) if kind == "image" else value)
    except (DefinitionError, CellError, OSError) as e:
        msg = f"{spec.label}: the query cannot be embedded: {e}"
        raise SearchError(msg) from e


async def _embed_query(calls: CellCalls, call: Call, spec: IndexSpec) -> Vector:
    import numpy as np

    try:
        asked = call._function.cell_request(call._arguments)
        value, _ = await calls.answer(asked, is_cell=False)
        value = check_value(asked.cell_value(value), call._function.returns)
    except CellError as e:
        msg = f"{spec.label}: the query cannot be embedded: {e.errortype}: {e.message}"
        raise SearchError(msg) from e
    if value is None:
        msg = f"{spec.label}: {call._function.name} gave no vector for the query"
        raise SearchError(msg)
    return np.asarray(value, np.float32)
