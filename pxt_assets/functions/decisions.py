"""`decisions`: answers to questions about each row, with probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pxt_assets.api.request import Endpoint, ParsedAnswer
from pxt_assets.api.stated_usage import model_of, usage_of
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.expressions.path_steps import ELSEWHERE, step_text
from pxt_assets.functions.decision_answers import ANSWERS_SHAPE, parsed_answers, parsed_shape
from pxt_assets.functions.declare import AdaptedCall, api_function, constant_media, short_repr, with_kwargs
from pxt_assets.functions.messages import PartsSize, with_constant_images, with_images
from pxt_assets.functions.questions import PATH, api_questions, question_of
from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import Media, is_image, media_of
from pxt_assets.values.stored_json import read_answer
from pxt_assets.values.types import Json

_COUNT_SHAPE = {"type": "integer"}
_SHAPE = {
    "properties": {
        "model": {"type": "string"},
        "answers": ANSWERS_SHAPE,
        "usage": {
            "properties": {
                "input_tokens": _COUNT_SHAPE,
                "output_tokens": _COUNT_SHAPE,
                "total_tokens": _COUNT_SHAPE,
            }
        },
    }
}


def _parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
    answer, stored = read_answer(body)
    answers = answer.get("answers") if isinstance(answer, dict) else None
    if not isinstance(answers, list) or not answers or not all(isinstance(one, dict) for one in answers):
        msg = "the answer has no `answers`"
        raise ValueError(msg)
    return ParsedAnswer([stored], usage_of(answer, request), model_of(answer))


def _size(body: Mapping[str, Any]) -> RequestSize:
    given, parts = body["input"], PartsSize()
    characters = len(given) if isinstance(given, str) else 0
    items = [] if isinstance(given, str) else given
    for item in items:
        for content in (item.get("content"), item.get("output"), item.get("arguments"), item.get("input")):
            if isinstance(content, str):
                characters += len(content)
            elif isinstance(content, list):
                parts = parts.plus(content)
    for question in body["questions"]:
        instructions = question["instructions"]
        if isinstance(instructions, str):
            characters += len(instructions)
        else:
            parts = parts.plus(instructions)
        characters += len(dumps({**question, "instructions": ""}))
    return request_size(
        characters + parts.characters,
        messages=len(items) or 1,
        images=parts.images,
        low_images=parts.low_images,
    )


_PARTS_OF_CHATS = {
    "text": '{"type": "input_text", "text": ...}',
    "image_url": '{"type": "input_image", "image_url": ...}',
}
_ENDPOINT = Endpoint(PATH, parse=_parse, size=_size, sends_limits=False, decides=True)


def _adapt(arguments: dict[str, Any]) -> AdaptedCall:
    try:
        questions = [
            {**one, "instructions": _constant(one["instructions"])}
            for one in api_questions(arguments["questions"])
        ]
        _check_parts(arguments["input"])
        adapted = {**arguments, "input": _constant(arguments["input"]), "questions": questions}
    except DefinitionError as e:
        msg = f"decisions: {e}"
        raise DefinitionError(msg) from e
    asked = tuple(map(question_of, questions))
    known = {**_SHAPE["properties"], "parsed": parsed_shape(asked)}
    elsewhere = {
        one.name: f"parsed{step_text(one.name)}" for one in asked if one.name and one.name not in known
    }
    shape = {**_SHAPE, "properties": known, ELSEWHERE: elsewhere}
    return AdaptedCall(adapted, shape, lambda answer: parsed_answers(answer, asked))


def _check_parts(given: Any) -> None:
    """Raises DefinitionError for parts of messages as chats have them: here no row could be answered."""
    for number, message in enumerate(given if isinstance(given, list | tuple) else ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if isinstance(kind, str) and kind in _PARTS_OF_CHATS:
                msg = f"input[{number}]: got content[{place}] of type {kind!r}, allowed: {_PARTS_OF_CHATS[kind]}"
                raise DefinitionError(msg)


def _constant(value: Any) -> Any:
    """A text, an image, or a list with parts that hold some, with constants as images or as files to read."""
    if isinstance(value, list | tuple):
        return [_constant(one) for one in value]
    if isinstance(value, PurePath | bytes | bytearray) or is_image(value):
        return constant_media(value)
    return with_constant_images(value)


def _text_at(path: tuple[str | int, ...]) -> bool:
    kinds = tuple("*" if isinstance(step, int) else step for step in path[1:])
    if path[0] == "input":
        return kinds in ((), ("*", "content"), ("*", "content", "*", "text"))
    asked = ("*", "instructions")
    return path[0] == "questions" and kinds in (asked, (*asked, "*"), (*asked, "*", "text"))


@api_function(_ENDPOINT, returns=Json, shape=_SHAPE, adapt=_adapt, text_at=_text_at)
def decisions(
    input: Any, *, model: Any, questions: Any, model_kwargs: Any = None, **kwargs: Any
) -> Mapping[str, Any]:
    """Answers to 1 to 400 questions about an input, with probabilities: the API's `decisions`, as Json with `answers`.

    `parsed` has the answers by the questions' names, typed: `probability` of a predicate; `choice`, `confidence` and
    `probabilities` of a choice; `score`, `confidence` and `probabilities` of a score. A question that the model refuses
    is null in it; a row of which it refuses all is an error.

    Throttled by the rate-limit headers of the API; where it sends none, paced at the requests a minute that
    `OpenAIResource(rate_limits={model: rpm})` gives, 600 where it gives none.

    Args:
        input: what the questions are about: a text, an image, or a list of messages as the API takes them,
            `[{"role": "user", "content": tbl.body}]`; columns may stand anywhere in it.
        model: the model's name.
        questions: a dict of `predicate(...)`, `choice(...)` and `score(...)` by name, or the API's own list of dicts, of
            which those without a name are found in `answers` only. Columns may stand in their instructions; all else is
            the same for all rows.
        model_kwargs: other arguments of the API, as a dict: `safety_identifier`, ...
        kwargs: other arguments of the API, one by one.

    Example:
        ```python
        tbl.add_computed_column(triage=decisions(
            tbl.body,
            model="gpt-6-luna",
            questions={
                "urgent": predicate("The customer needs an answer today."),
                "topic": choice("What is it about?", {"delivery": "parcels, dates", "defect": "it does not work", "other": ""}),
                "anger": score("How angry is the customer?", ["calm", "annoyed", "furious"]),
            },
        ))
        tbl.add_computed_column(topic=tbl.triage.parsed.topic.choice)
        ```

    Source: https://developers.openai.com/api/reference/resources/decisions
    """
    body = {
        "input": _input_to_send(input),
        "model": model,
        "questions": [_question_to_send(question) for question in questions],
    }
    return with_kwargs(body, model_kwargs, kwargs)


def _input_to_send(given: Any) -> Any:
    if isinstance(given, str):
        return given
    if isinstance(given, list | tuple):
        if given and all(isinstance(item, Mapping) for item in given):
            return with_images(given, _image_url)
    elif _is_image(given):
        return [{"role": "user", "content": _with_parts([given])}]
    msg = f"input: got {short_repr(given)}, allowed: a text, an image, or a list of messages with `role` and `content`"
    raise CellError("TypeError", msg)


def _question_to_send(question: Mapping[str, Any]) -> Mapping[str, Any]:
    given = question["instructions"]
    if isinstance(given, str):
        return question
    return {**question, "instructions": _with_parts(given if isinstance(given, list | tuple) else [given])}


def _with_parts(given: Sequence[Any]) -> Any:
    """Texts, images and parts of the API as its parts. Raises CellError."""
    parts = [_part(one) for one in given]
    return with_images([{"content": parts}], _image_url)[0]["content"]


def _part(one: Any) -> Mapping[str, Any]:
    if isinstance(one, str):
        return {"type": "input_text", "text": one}
    if _is_image(one):
        image = media_of(one, None) if isinstance(one, Mapping) else one
        return {"type": "input_image", "image_url": image}
    if isinstance(one, Mapping):
        return one
    msg = f"instructions: got {short_repr(one)}, allowed: texts, images, and the API's parts; convert the column upstream"
    raise CellError("TypeError", msg)


def _is_image(value: Any) -> bool:
    if isinstance(value, Mapping):  # as datasets hold it
        return "type" not in value and not value.keys().isdisjoint(("bytes", "path"))
    return isinstance(value, Media | PurePath | bytes | bytearray | memoryview) or is_image(value)


def _image_url(image: Any) -> Any:
    return image["url"] if isinstance(image, Mapping) else image
