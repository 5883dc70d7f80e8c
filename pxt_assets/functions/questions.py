"""Questions about an input, as `decisions` asks them: how likely, which of several, how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, get_args

from pxt_assets.errors import DefinitionError, did_you_mean
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.expressions.walk import nodes
from pxt_assets.functions.declare import short_repr
from pxt_assets.values.media import Media, is_image
from pxt_assets.values.wording import counted

PATH = "/decisions"
"""The endpoint that answers questions."""
Kind = Literal["predicate", "choice", "score"]
Value = str | bool

_MAX_QUESTIONS = 400
_CHOICES = range(2, 256)
"""How many questions a request can have, and choices a question. Source:
https://developers.openai.com/api/reference/resources/decisions"""
_MIN_LEVELS = 2
_MAX_NAME = 64
"""Characters of a name, which is part of the names of figures."""
_KEYS: Mapping[str, tuple[str, ...]] = {
    "predicate": ("type", "name", "instructions"),
    "choice": ("type", "name", "instructions", "choices"),
    "score": ("type", "name", "instructions", "levels"),
}
_PARTS: Mapping[str, tuple[str, ...]] = {
    "input_text": ("type", "text"),
    "input_image": ("type", "image_url", "detail"),
    "input_json": ("type", "data"),
}
"""The API's parts of instructions: `type`, what each must have, and what it may have."""
_ALLOWED = 'predicate(...), choice(...), score(...), or the API\'s own dict, {"type": "predicate", "instructions": "..."}'


@dataclass(frozen=True, slots=True)
class Question:
    """A question without its instructions: what its answers can be."""

    name: str | None
    """None for one that has none: its answer has no place in `parsed`."""
    kind: Kind
    choices: tuple[Value, ...] = ()
    """Of a choice, in their order."""
    levels: tuple[str, ...] = ()
    """Of a score, the lowest first."""


def predicate(instructions: Any) -> dict[str, Any]:
    """A question of `decisions`: how likely a statement about the input is true. Its answer has `probability`, 0 to 1.

    Example:
        ```python
        predicate("The customer needs an answer today.")
        predicate(["The customer has bought this product: ", tbl.product])
        ```

    Args:
        instructions: the statement: a text, a column, an image, or a list of texts, images and the API's own parts, any
            of which may be columns.
    """
    return _checked({"type": "predicate", "instructions": instructions}, "predicate")


def choice(instructions: Any, choices: Any, *others: Any) -> dict[str, Any]:
    """A question of `decisions`: which of 2 to 255 choices fits the input.

    Its answer has `choice`, `confidence` (0 to 1: how much the distribution is on one of them) and `probabilities`, a list
    with the `value` and `probability` of each.

    Example:
        ```python
        choice("What is it about?", {"delivery": "parcels, dates", "defect": "it does not work", "other": ""})
        choice("Which language is it in?", ["English", "German", "another"])
        ```

    Args:
        instructions: the question, as of `predicate`.
        choices: a list of texts or bools, or a dict of them with a description of each.
        others: nothing: choices are given together.
    """
    _refuse_others("choice", choices, others)
    return _checked({"type": "choice", "instructions": instructions, "choices": choices}, "choice")


def score(instructions: Any, levels: Any, *others: Any) -> dict[str, Any]:
    """A question of `decisions`: where the input stands on ordered levels.

    Its answer has `score` (0 for the lowest level, 1 for the next, and what is between them), `confidence` and
    `probabilities`, a list with the `label`, `value` and `probability` of each.

    Example:
        ```python
        score("How angry is the customer?", ["calm", "annoyed", "furious"])
        ```

    Args:
        instructions: the question, as of `predicate`.
        levels: a list of labels, the lowest first, or a dict of them with a description of each.
        others: nothing: levels are given together.
    """
    _refuse_others("score", levels, others)
    return _checked({"type": "score", "instructions": instructions, "levels": levels}, "score")


def _refuse_others(kind: str, first: object, others: tuple[object, ...]) -> None:
    if others:
        what = "choices" if kind == "choice" else "levels"
        given = ", ".join(map(short_repr, (first, *others)))
        msg = f"{kind}: got {what} one by one, {given:.200}, allowed: a list of them, or a dict with a description of each"
        raise DefinitionError(msg)


def api_questions(given: object) -> list[dict[str, Any]]:
    """The questions of a call in the API's form, named ones with their names.

    Raises DefinitionError for what no row could ask.
    """
    if isinstance(given, Expr):
        msg = (
            f"questions: got the column {given!r}, but the questions are the same for all rows, since they are the "
            "column's type; give a dict or a list of questions, whose instructions may be columns"
        )
        raise DefinitionError(msg)
    if not isinstance(given, Mapping | list | tuple):
        msg = f"questions: got {short_repr(given)}, allowed: a dict of questions by name, or a list of the API's own dicts"
        raise DefinitionError(msg)
    if not 1 <= len(given) <= _MAX_QUESTIONS:
        msg = f"questions: got {len(given):,} questions, allowed: 1 to {_MAX_QUESTIONS}; ask the rest in another column"
        raise DefinitionError(msg)
    questions = list(_by_name(given) if isinstance(given, Mapping) else _in_order(given))
    names = Counter(one["name"] for one in questions if "name" in one)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        msg = f"questions: {', '.join(map(repr, twice))} is the name of several, allowed: names that differ"
        raise DefinitionError(msg)
    return questions


def questions_of(expr: object) -> tuple[Question, ...]:
    """The questions that a column asks of each row, in their order: of a call of `decisions`; else none."""
    if not isinstance(expr, Call) or expr._function.local or expr._function.version != PATH:
        return ()
    return tuple(map(question_of, expr._arguments["questions"]))


def question_of(question: Mapping[str, Any]) -> Question:
    """A question in the API's form, as far as it is the same for all rows."""
    return Question(
        question.get("name"),
        question["type"],
        tuple(one["value"] for one in question.get("choices", ())),
        tuple(one["label"] for one in question.get("levels", ())),
    )


def _by_name(given: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    for name, question in given.items():
        where = f"questions[{name!r}]"
        checked = _checked(question, where)
        if checked.setdefault("name", _plain(name)) != name:
            msg = f"{where}: got the name {checked['name']!r} in it; leave it out: the dict's key is the name"
            raise DefinitionError(msg)
        _check_name(name, where)
        yield {key: checked[key] for key in _KEYS[checked["type"]]}


def _in_order(given: list[Any] | tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for number, question in enumerate(given):
        checked = _checked(question, f"questions[{number}]")
        if "name" in checked:
            _check_name(checked["name"], f"questions[{number}]")
        yield checked


def _check_name(name: object, where: str) -> None:
    is_name = isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= _MAX_NAME
    if not is_name:
        what = f"the column {name!r}" if isinstance(name, Expr) else short_repr(name)
        msg = f"{where}: got {what} as its name, allowed: a text of 1 to {_MAX_NAME} characters, on one line"
        raise DefinitionError(msg)


def _checked(question: object, where: str) -> dict[str, Any]:
    """A question in the API's form. Raises DefinitionError that begins with `where`."""
    if not isinstance(question, Mapping):
        msg = f"{where}: got {short_repr(question)}, allowed: {_ALLOWED}"
        raise DefinitionError(msg)
    kind, kinds = question.get("type"), get_args(Kind)
    if not isinstance(kind, str) or kind not in kinds:
        hint = did_you_mean(kind, kinds) if isinstance(kind, str) else ""
        msg = f"{where}: got type {kind!r}, allowed: {', '.join(map(repr, kinds))}{hint}"
        raise DefinitionError(msg)
    for key in question:
        if key not in _KEYS[kind]:
            hint = did_you_mean(str(key), _KEYS[kind])
            msg = f"{where}: got {key!r}, allowed in a {kind}: {', '.join(_KEYS[kind])}{hint}"
            raise DefinitionError(msg)
    checked: dict[str, Any] = {"type": kind}
    if question.get("name") is not None:
        checked["name"] = _plain(question["name"])
    checked["instructions"] = _instructions(question.get("instructions"), where)
    if kind == "choice":
        checked["choices"] = _choices(question.get("choices"), where)
    elif kind == "score":
        checked["levels"] = _levels(question.get("levels"), where)
    return checked


def _instructions(given: object, where: str) -> object:
    several = isinstance(given, list | tuple)
    parts: list[Any] = [*given] if isinstance(given, list | tuple) else [given]
    if not parts or isinstance(given, Mapping) or not all(map(_can_be_said, parts)):
        msg = (
            f"{where}: got instructions {short_repr(given)}, allowed: a text that is not empty, a column, an image, or a "
            "list of these and of the API's parts"
        )
        raise DefinitionError(msg)
    for number, part in enumerate(parts):
        if isinstance(part, Mapping):
            _check_part(part, f"{where}: got instructions[{number}]")
    return parts if several else given


def _check_part(part: Mapping[str, Any], got: str) -> None:
    kind = part.get("type")
    keys = _PARTS.get(kind) if isinstance(kind, str) else None
    if keys is None:
        msg = f"{got} of type {short_repr(kind)}, allowed: {', '.join(_PARTS)}"
        raise DefinitionError(msg)
    for key in part:
        if key not in keys:
            msg = f"{got} with {key!r}, allowed in an {kind}: {', '.join(keys)}{did_you_mean(str(key), keys)}"
            raise DefinitionError(msg)
    if part.get(keys[1]) is None:
        msg = f"{got} without {keys[1]!r}, which an {kind} has"
        raise DefinitionError(msg)


def _can_be_said(part: object) -> bool:
    if isinstance(part, str):
        return bool(part.strip())
    return isinstance(part, Expr | Mapping | Media | PurePath | bytes | bytearray) or is_image(part)


def _choices(given: object, where: str) -> list[dict[str, Any]]:
    options = _options(given, "value", f"{where}: choices")
    if len(options) not in _CHOICES:
        msg = f"{where}: got {counted(len(options), 'choice')}, allowed: {_CHOICES[0]} to {_CHOICES[-1]}"
        if any(one["value"] is True or one["value"] is False for one in options):
            msg += "; in a dict, True and 1 are one key, and so are False and 0"
        raise DefinitionError(msg)
    values = [one["value"] for one in options]
    for value in values:
        if not isinstance(value, bool) and not (isinstance(value, str) and value.strip()):
            msg = (
                f"{where}: got {short_repr(value)} as a choice, allowed: a text that is not empty, or a bool"
            )
            raise DefinitionError(msg)
    _check_different(values, f"{where}: choices")
    words = {str(value).lower() for value in values if isinstance(value, bool)}
    for value in values:
        if isinstance(value, str) and value.strip().lower() in words:
            msg = (
                f"{where}: got the choices {value!r} and {value.strip().title()}, a text and a bool of the same word, which "
                "are two choices to the API; allowed: one of them"
            )
            raise DefinitionError(msg)
    return options


def _levels(given: object, where: str) -> list[dict[str, Any]]:
    options = _options(given, "label", f"{where}: levels")
    if len(options) < _MIN_LEVELS:
        msg = (
            f"{where}: got {counted(len(options), 'level')}, allowed: {_MIN_LEVELS} or more, the lowest first"
        )
        raise DefinitionError(msg)
    labels = [one["label"] for one in options]
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            msg = f"{where}: got {short_repr(label)} as a level, allowed: a text that is not empty"
            raise DefinitionError(msg)
    _check_different(labels, f"{where}: levels")
    return options


def _options(given: object, named: str, where: str) -> list[dict[str, Any]]:
    """Choices or levels in the API's form, where each is told by its `named`. Raises DefinitionError."""
    if any(True for _ in nodes(given)):
        msg = f"{where} hold a column; they are the same for all rows, since they are the column's type"
        raise DefinitionError(msg)
    if given is None:
        given = []
    if not isinstance(given, Mapping | list | tuple):
        msg = f"{where}: got {short_repr(given)}, allowed: a list, or a dict with a description of each"
        raise DefinitionError(msg)
    if isinstance(given, Mapping):
        given = [{named: value, "description": text} for value, text in given.items()]
    return [_option(one, named, where) for one in given]


def _option(one: object, named: str, where: str) -> dict[str, Any]:
    if not isinstance(one, Mapping):
        return {named: _plain(one)}
    unknown = [key for key in one if key not in (named, "description")]
    if unknown or named not in one:
        msg = f"{where}: got {short_repr(dict(one))}, allowed: dicts with {named} and description"
        raise DefinitionError(msg)
    text = one.get("description")
    if not isinstance(text, str | None):
        msg = f"{where}: got {short_repr(text)} as the description of {one[named]!r}, allowed: a text"
        raise DefinitionError(msg)
    return {named: _plain(one[named]), **({"description": text} if text else {})}


def _plain(value: Any) -> Any:
    """A text as such, also of an enumeration's: answers are compared with it."""
    return str.__str__(value) if isinstance(value, str) else value


def _check_different(values: list[Value], where: str) -> None:
    twice = [repr(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        msg = f"{where}: got {', '.join(twice)} more than once, allowed: texts that differ"
        raise DefinitionError(msg)
