"""The answers of `decisions` by the questions' names, and what a server may have sent in place of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pxt_assets.errors import CellError
from pxt_assets.expressions.path_steps import CLOSED, Shape
from pxt_assets.functions.declare import short_repr
from pxt_assets.functions.questions import Question

REFUSAL = "refusal"
"""The type of an answer to a question that the model refuses."""
ALL_REFUSED = "RefusalError"
"""The error of a row of which it refuses all questions."""
ROUNDING = 1e-6
"""By how much a probability may be below 0 or above 1, as sums of floats are."""
_ROUNDED = 0.01
"""By how much each of the probabilities of a distribution may be rounded."""
_STRING: Shape = {"type": "string"}
_NUMBER: Shape = {"type": "number"}
ANSWERS_SHAPE: Shape = {
    "items": {
        "properties": {
            "type": _STRING,
            "name": _STRING,
            "probability": _NUMBER,
            "confidence": _NUMBER,
            "score": _NUMBER,
            "probabilities": {"items": {"properties": {"label": _STRING, "probability": _NUMBER}}},
        }
    }
}
"""Of the answers to all questions, whose choices may be texts or bools."""


def parsed_shape(questions: Sequence[Question]) -> Shape:
    """What is known of the answers by name: the names, and the fields of each."""
    by_name = {one.name: {**_shape(one), CLOSED: True} for one in questions if one.name is not None}
    return {"properties": by_name, CLOSED: True}


def _shape(question: Question) -> Shape:
    if question.kind == "predicate":
        return {"properties": {"probability": _NUMBER}}
    if question.kind == "score":
        level = {"label": _STRING, "value": {"type": "integer"}, "probability": _NUMBER}
        properties = {"score": _NUMBER, "confidence": _NUMBER, "probabilities": _list_of(level)}
        return {"properties": properties}
    kinds = {type(value) for value in question.choices}
    value: Shape = {} if len(kinds) > 1 else {"type": "boolean"} if kinds == {bool} else _STRING
    each = {"value": value, "probability": _NUMBER}
    return {"properties": {"choice": value, "confidence": _NUMBER, "probabilities": _list_of(each)}}


def _list_of(properties: Mapping[str, Shape]) -> Shape:
    return {"items": {"properties": properties}}


def parsed_answers(answer: Mapping[str, Any], questions: Sequence[Question]) -> Mapping[str, Any]:
    """The answer with the answers by name at `parsed`, null for a refused question.

    Raises CellError where all are refused, or where an answer is none to its question.
    """
    answers = answer["answers"]
    if len(answers) != len(questions):
        raise _invalid(f"it has {len(answers):,} answers to {len(questions):,} questions")
    if all(one.get("type") == REFUSAL for one in answers):
        what = "the question" if len(questions) == 1 else f"all {len(questions):,} questions"
        raise CellError(ALL_REFUSED, f"the model refused to answer {what}")
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in answers:
        if isinstance(one.get("name"), str):
            by_name.setdefault(one["name"], []).append(one)
    parsed: dict[str, Any] = {}
    for number, question in enumerate(questions):
        if question.name is not None:
            found = by_name.get(question.name) or _at_its_place(answers[number])
            if len(found) != 1:
                count = f"{len(found)} answers" if found else "no answer"
                raise _invalid(f"it has {count} to the question {question.name!r}")
            parsed[question.name] = _checked(found[0], question)
    return {**answer, "parsed": parsed}


def _at_its_place(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The answer in a question's place, if it names none: not all servers repeat the names."""
    return [answer] if answer.get("name") is None else []


def _checked(answer: Mapping[str, Any], question: Question) -> Mapping[str, Any] | None:
    """The fields of one answer, None for a refusal. Raises CellError for one that does not answer the question."""
    kind = answer.get("type")
    if kind == REFUSAL:
        return None
    if kind != question.kind:
        raise _of(question, f"is of type {short_repr(kind)}, where a {question.kind} was asked for")
    fields = {name: value for name, value in answer.items() if name not in ("type", "name")}
    return {**fields, **_CHECKS[question.kind](answer, question)}


def _predicate(answer: Mapping[str, Any], question: Question) -> dict[str, Any]:
    return {"probability": _share(answer, "probability", question)}


def _choice(answer: Mapping[str, Any], question: Question) -> dict[str, Any]:
    chosen = answer.get("choice")
    if not _is_option(chosen, _typed(question.choices)):
        raise _of(question, f"has the choice {short_repr(chosen)}, which is none of those given")
    probabilities = _probabilities(answer, "value", question.choices, question)
    return {
        "choice": chosen,
        "confidence": _share(answer, "confidence", question),
        "probabilities": probabilities,
    }


def _score(answer: Mapping[str, Any], question: Question) -> dict[str, Any]:
    probabilities = _probabilities(answer, "label", question.levels, question)
    values = [_number(one, "value", question) for one in probabilities]
    places = [question.levels.index(one["label"]) for one in probabilities]
    firsts = {value - place for value, place in zip(values, places, strict=True)} or {0.0}
    lowest = firsts.pop()
    if firsts or not lowest.is_integer():
        raise _of(question, f"has the values {values!r:.60}, which do not number the levels one by one")
    score, highest = _number(answer, "score", question), lowest + len(question.levels) - 1
    if not lowest - ROUNDING <= score <= highest + ROUNDING:
        raise _of(
            question, f"has the score {score:g}, which is not between its levels, {lowest:g} to {highest:g}"
        )
    levels = [{**one, "value": int(value)} for one, value in zip(probabilities, values, strict=True)]
    return {
        "score": score,
        "confidence": _share(answer, "confidence", question),
        "probabilities": levels,
    }


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], Question], dict[str, Any]]] = {
    "predicate": _predicate,
    "choice": _choice,
    "score": _score,
}


def _probabilities(
    answer: Mapping[str, Any], named: str, options: tuple[str | bool, ...], question: Question
) -> list[dict[str, Any]]:
    """The distribution of an answer: options that were given, each once, perhaps not all. Raises CellError."""
    given = answer.get("probabilities")
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise _of(question, f"has the probabilities {short_repr(given)}, which are no list of objects")
    found, known = [one.get(named) for one in given], _typed(options)
    if not all(_is_option(one, known) for one in found) or len({*map(_typed_one, found)}) < len(found):
        raise _of(question, f"has probabilities of {found!r:.100}, but was asked for {list(options)!r:.100}")
    read = [{**one, "probability": _share(one, "probability", question)} for one in given]
    total, slack = sum(one["probability"] for one in read), _ROUNDED * (len(read) + 1)
    if total > 1 + slack or (len(read) == len(options) and total < 1 - slack):
        raise _of(question, f"has probabilities that add up to {total:g}, where they are to be 1 in all")
    return read


def _is_option(value: object, options: frozenset[tuple[type, Any]]) -> bool:
    return isinstance(value, str | bool) and _typed_one(value) in options


@lru_cache(1_024)
def _typed(options: tuple[str | bool, ...]) -> frozenset[tuple[type, Any]]:
    """Options with their types: a bool is no number."""
    return frozenset(map(_typed_one, options))


def _typed_one(option: Any) -> tuple[type, Any]:
    return type(option), option


def _share(holder: Mapping[str, Any], name: str, question: Question) -> float:
    value = holder.get(name)
    if type(value) is float and 0.0 <= value <= 1.0:  # as nearly always
        return value
    number = _number(holder, name, question)
    if not -ROUNDING <= number <= 1 + ROUNDING:
        raise _of(question, f"has the {name} {number:g}, which is not from 0 to 1")
    return min(max(number, 0.0), 1.0)


def _number(holder: Mapping[str, Any], name: str, question: Question) -> float:
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
        raise _of(question, f"has the {name} {short_repr(value)}, which is no such number")
    return float(value)


def _of(question: Question, what: str) -> CellError:
    return _invalid(f"the answer to {question.name!r} {what}")


def _invalid(what: str) -> CellError:
    return CellError("InvalidAnswer", f"the answer is of another form than documented: {what}")
