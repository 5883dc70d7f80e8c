"""`moderations`: whether a row's text is potentially harmful."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.api.request import Endpoint, ParsedAnswer
from pxt_assets.api.stated_usage import model_of, usage_of
from pxt_assets.expressions.path_steps import ANY_SPELLING
from pxt_assets.functions.declare import api_function, require_text, text_of, with_kwargs
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values.stored_json import read_answer
from pxt_assets.values.types import Json

_MODEL = "omni-moderation-latest"
_SHAPE = {
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "results": {
            "items": {
                "properties": {
                    "flagged": {"type": "boolean"},
                    "categories": {"additionalProperties": {"type": "boolean"}, ANY_SPELLING: True},
                    "category_scores": {"additionalProperties": {"type": "number"}, ANY_SPELLING: True},
                    "category_applied_input_types": {ANY_SPELLING: True},
                }
            }
        },
    }
}


def _parse(body: bytes, _request: Mapping[str, Any]) -> ParsedAnswer:
    answer, stored = read_answer(body)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or not results or not all(isinstance(one, Mapping) for one in results):
        msg = "the answer has no `results`"
        raise ValueError(msg)
    return ParsedAnswer([stored], usage_of(answer), model_of(answer))


def _size(body: Mapping[str, Any]) -> RequestSize:
    return request_size(len(body["input"]))


_ENDPOINT = Endpoint("/moderations", parse=_parse, size=_size, sends_limits=False)


@api_function(_ENDPOINT, returns=Json, shape=_SHAPE, text_at=text_of("input"))
def moderations(input: Any, *, model: Any = _MODEL, **kwargs: Any) -> Mapping[str, Any]:
    """Whether a text is potentially harmful, and how: the API's `moderations`, as Json with `results`.

    Paced at the requests a minute that `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    A path finds a category under the API's name, `categories["harassment/threatening"]`, and under that of its Python
    client, which Pixeltable uses too: `categories.harassment_threatening`.

    Args:
        input: the text.
        model: the moderation model's name.
        kwargs: other arguments of the API.

    Example:
        ```python
        tbl.add_computed_column(moderation=moderations(tbl.body))
        tbl.add_computed_column(flagged=tbl.moderation.results[0].flagged)
        ```

    Source: https://platform.openai.com/docs/api-reference/moderations
    """
    body = {"input": require_text(input, "input"), "model": _MODEL if model is None else model}
    return with_kwargs(body, None, kwargs)
