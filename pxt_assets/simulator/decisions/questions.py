"""The questions of POST /v1/decisions, and which of them are refused as the API refuses them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.decisions.evidence import PARTS, read_content
from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.errors import bad_request, missing_parameter, wrong_type, wrong_value

_MAX_QUESTIONS = 400
_CHOICES = (2, 255)
_LEVELS = (2, 10)
_OPTIONS = {"choice": ("choices", "value", _CHOICES), "score": ("levels", "label", _LEVELS)}
"""By a question's type: what holds its options, by what each is told, and how many it may have."""
_KINDS = ("predicate", "choice", "score")


@dataclass(frozen=True, slots=True)
class Option:
    """A choice, or a level."""

    value: str | bool
    text: str
    """Its value and its description."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question."""

    kind: str
    name: str | None
    text: str
    """Its instructions."""
    image_tokens: int
    options: tuple[Option, ...] = ()

    @property
    def characters(self) -> int:
        """Of all its texts."""
        return len(self.text) + sum(len(one.text) for one in self.options)


def read_questions(given: Any) -> tuple[Question, ...]:
    """The questions of a request. Raises a 400 for malformed ones."""
    if given is None:
        raise missing_parameter("questions")
    questions = arguments.read_array(given, "questions")
    _check_length(questions, (1, _MAX_QUESTIONS), "questions")
    return tuple(
        _read_question(arguments.read_object(one, f"questions[{index}]"), f"questions[{index}]")
        for index, one in enumerate(questions)
    )


def _read_question(given: dict[str, Any], path: str) -> Question:
    kind = arguments.read_string_at(given, "type", path)
    if kind not in _KINDS:
        raise wrong_value(f"{path}.type", kind, _KINDS)
    holder, named, lengths = _OPTIONS.get(kind, ("", "", (0, 0)))
    arguments.refuse_unknown_at(given, ("type", "name", "instructions", *((holder,) if holder else ())), path)
    arguments.check_string(given, "name", at=path)
    if "instructions" not in given:
        raise missing_parameter(f"{path}.instructions")
    said = read_content(given["instructions"], PARTS, f"{path}.instructions")
    if not said.text.strip():
        raise bad_request(
            f"Invalid '{path}.instructions': empty string. Expected a string with minimum length 1, but got an empty string "
            "instead.",
            code="empty_string",
            param=f"{path}.instructions",
        )
    options: tuple[Option, ...] = ()
    if holder:
        if holder not in given:
            raise missing_parameter(f"{path}.{holder}")
        options = _read_options(given[holder], named, lengths, f"{path}.{holder}")
    return Question(kind, given.get("name"), said.text, said.image_tokens, options)


def _read_options(given: Any, named: str, lengths: tuple[int, int], path: str) -> tuple[Option, ...]:
    options = arguments.read_array(given, path)
    _check_length(options, lengths, path)
    read: list[Option] = []
    for index, one in enumerate(options):
        at = f"{path}[{index}]"
        option = arguments.read_object(one, at)
        arguments.refuse_unknown_at(option, (named, "description"), at)
        arguments.check_string(option, "description", at=at)
        if named not in option:
            raise missing_parameter(f"{at}.{named}")
        value = option[named]
        if not isinstance(value, str) and not (named == "value" and isinstance(value, bool)):
            raise wrong_type(
                f"{at}.{named}", "one of a string or boolean" if named == "value" else "a string", value
            )
        if any(type(other.value) is type(value) and other.value == value for other in read):
            raise bad_request(
                f"Invalid '{path}': each {named} must be unique.", code="invalid_value", param=path
            )
        read.append(Option(value, f"{value} {option.get('description') or ''}"))
    return tuple(read)


def _check_length(given: Collection[Any], lengths: tuple[int, int], path: str) -> None:
    least, most = lengths
    if len(given) < least:
        raise bad_request(
            f"Invalid '{path}': array too short. Expected an array with minimum length {least}, but got an array with "
            f"length {len(given)} instead.",
            code="array_below_min_length",
            param=path,
        )
    if len(given) > most:
        raise bad_request(
            f"Invalid '{path}': array too long. Expected an array with maximum length {most}, but got an array with length "
            f"{len(given)} instead.",
            code="array_above_max_length",
            param=path,
        )
