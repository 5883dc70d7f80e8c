"""What the questions of `decisions` can be, told while definitions load."""

import datetime
import enum
from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets import Table, choice, predicate, score
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import decisions
from pxt_assets.functions.questions import Question, questions_of

TBL = Table("tickets", key="id")
WORDS = [f"word {number}" for number in range(256)]
YES = {"type": "predicate", "instructions": "Is it?"}


def ask(questions: Any) -> Any:
    return decisions(TBL.body, model="gpt-6-luna", questions=questions)


def sent(questions: Any) -> Any:
    """The questions as they are sent of a row without columns."""
    call = decisions("text", model="gpt-6-luna", questions=questions)
    return call._function.cell_request(call._arguments).body["questions"]


def test_questions_are_sent_in_the_apis_form() -> None:
    """In their order; a description that says nothing is left out."""
    questions = {
        "urgent": predicate("Today?"),
        "topic": choice("What?", {"delivery": "parcels", "other": "", True: None}),
        "anger": score("How?", ["calm", "furious"]),
    }
    assert sent(questions) == [
        {"type": "predicate", "name": "urgent", "instructions": "Today?"},
        {
            "type": "choice",
            "name": "topic",
            "instructions": "What?",
            "choices": [{"value": "delivery", "description": "parcels"}, {"value": "other"}, {"value": True}],
        },
        {
            "type": "score",
            "name": "anger",
            "instructions": "How?",
            "levels": [{"label": "calm"}, {"label": "furious"}],
        },
    ]


@pytest.mark.parametrize(
    ("short", "of_api"),
    [
        (choice("?", ["a", "b"]), {"choices": [{"value": "a"}, {"value": "b"}]}),
        (choice("?", ("a", {"value": "b", "description": "c"})), {"choices": {"a": None, "b": "c"}}),
        (
            score("?", {"low": "", "high": "top"}),
            {"levels": [{"label": "low"}, {"label": "high", "description": "top"}]},
        ),
    ],
)
def test_lists_dicts_and_the_apis_form_say_the_same(short: dict[str, Any], of_api: dict[str, Any]) -> None:
    """Of choices and levels, wherever they stand."""
    assert sent([short]) == sent([{"type": short["type"], "instructions": "?", **of_api}])


class Topic(enum.StrEnum):
    A = "a"
    B = "b"


def test_an_enumerations_texts_are_texts() -> None:
    """As choices, levels and names, so that answers are told by them."""
    questions = {Topic.A: choice("?", [*Topic]), "c": score("?", {Topic.B: "", "top": Topic.A})}
    (first, second) = questions_of(ask(questions))
    assert [type(one) for one in (first.name, *first.choices, *second.levels)] == [str] * 5
    assert (first.name, first.choices, second.levels) == ("a", ("a", "b"), ("b", "top"))


def test_the_apis_list_may_leave_names_out() -> None:
    """Several may have none; null is none."""
    assert sent([YES, {**YES, "name": "a"}, {**YES, "name": None}]) == [YES, {**YES, "name": "a"}, YES]
    assert sent({"a": {**YES, "name": "a"}}) == sent({"a": YES}) == [{**YES, "name": "a"}]


def test_columns_stand_in_instructions() -> None:
    """Alone, in a list of texts, and in the API's parts."""
    call = ask(
        [
            predicate(TBL.claim),
            predicate(["It is about ", TBL.product]),
            predicate([{"type": "input_json", "data": {"product": TBL.product}}]),
        ]
    )
    row = {**call._arguments, "input": "b"}
    row["questions"] = [
        {**one, "instructions": said}
        for one, said in zip(
            row["questions"],
            ["c", ["It is about ", "p"], [{"type": "input_json", "data": {"product": "p"}}]],
            strict=True,
        )
    ]
    assert [one["instructions"] for one in call._function.cell_request(row).body["questions"]] == [
        "c",
        [{"type": "input_text", "text": "It is about "}, {"type": "input_text", "text": "p"}],
        [{"type": "input_json", "data": {"product": "p"}}],
    ]


def test_the_questions_of_a_column_are_known() -> None:
    """Of a call itself, whose cells are its answers."""
    call = ask({"a": choice(TBL.claim, [True, False]), "b": score("?", ["x", "y"])})
    assert questions_of(call) == (
        Question("a", "choice", choices=(True, False)),
        Question("b", "score", levels=("x", "y")),
    )
    assert questions_of(call.parsed) == questions_of(TBL.body) == ()


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (lambda: {}, "got 0 questions, allowed: 1 to 400"),
        (lambda: [YES] * 401, "got 401 questions, allowed: 1 to 400"),
        (
            lambda: TBL.questions,
            r"got the column tickets\.questions, but .* whose instructions may be columns",
        ),
        (lambda: "Is it urgent?", "questions: got str 'Is it urgent.*allowed: a dict of questions by name"),
        (
            lambda: {"a": "Is it?"},
            r"questions\['a'\]: got str 'Is it\?', allowed: predicate\(\.\.\.\), choice",
        ),
        (lambda: {"a": TBL.a}, r"questions\['a'\]: got .*tickets\.a, allowed: predicate"),
        (lambda: [{**YES, "name": "a"}] * 2, "'a' is the name of several, allowed: names that differ"),
        (lambda: {"a": {**YES, "name": "b"}}, r"\['a'\]: got the name 'b' in it; leave it out"),
        (lambda: {1: YES}, r"questions\[1\]: got int 1 as its name, allowed: a text of 1 to 64 characters"),
        (lambda: {"": YES}, "as its name, allowed"),
        (lambda: {"a\nb": YES}, "as its name, allowed: a text of 1 to 64 characters, on one line"),
        (lambda: {"a" * 65: YES}, "as its name, allowed"),
        (lambda: [{**YES, "name": TBL.a}], r"got the column tickets\.a as its name"),
        (lambda: [{**YES, "type": "predicat"}], "got type 'predicat', allowed: .*did you mean 'predicate'"),
        (
            lambda: [{**YES, "type": TBL.kind}],
            r"got type tickets\.kind, allowed: 'predicate', 'choice', 'score'",
        ),
        (lambda: [{"instructions": "?"}], "got type None, allowed"),
        (lambda: [{**YES, "nmae": "a"}], "got 'nmae', allowed in a predicate: .*did you mean 'name'"),
        (lambda: [{**YES, "choices": ["a", "b"]}], "got 'choices', allowed in a predicate"),
    ],
)
def test_what_no_row_could_ask(questions: Callable[[], Any], message: str) -> None:
    """The error says which question, what was got and what is allowed."""
    with pytest.raises(DefinitionError, match=f"^decisions: .*{message}"):
        ask(questions())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choice("?", ["a"]), "choice: got 1 choice, allowed: 2 to 255"),
        (lambda: choice("?", []), "choice: got 0 choices, allowed: 2 to 255"),
        (lambda: choice("?", WORDS), "choice: got 256 choices, allowed: 2 to 255"),
        (lambda: choice("?", ["a", "b", "a"]), "choice: choices: got 'a' more than once"),
        (lambda: choice("?", [True, True]), "got True more than once"),
        (
            lambda: choice("?", [True, "true"]),
            "the choices 'true' and True, a text and a bool of the same word",
        ),
        (lambda: choice("?", {False: "no", " FALSE": "no"}), "a text and a bool of the same word"),
        (lambda: choice("?", [1, 2]), "got int 1 as a choice, allowed: a text that is not empty, or a bool"),
        (lambda: choice("?", ["", "a"]), "got str '' as a choice"),
        (lambda: choice("?", "yes or no"), "got str 'yes or no', allowed: a list, or a dict"),
        (lambda: choice("?", {"a", "b"}), "choice: choices: got set"),
        (lambda: choice("?", [TBL.a, "b"]), "choices hold a column; they are the same for all rows"),
        (lambda: choice("?", {"a": TBL.a, "b": ""}), "choices hold a column"),
        (lambda: choice("?", {"a": 1, "b": ""}), "got int 1 as the description of 'a', allowed: a text"),
        (lambda: choice("?", [{"label": "a"}, "b"]), "got dict .*allowed: dicts with value and description"),
        (lambda: score("?", []), "score: got 0 levels, allowed: 2 or more, the lowest first"),
        (lambda: score("?", ["only"]), "score: got 1 level,"),
        (lambda: score("?", ["a", "a"]), "score: levels: got 'a' more than once"),
        (lambda: score("?", [1, 2]), "got int 1 as a level, allowed: a text"),
        (lambda: score("?", TBL.levels), "levels hold a column"),
        (lambda: predicate(""), "predicate: got instructions str '', allowed: a text that is not empty"),
        (lambda: predicate(" \n"), "predicate: got instructions"),
        (lambda: predicate(None), "predicate: got instructions NoneType None"),
        (lambda: predicate([]), "predicate: got instructions list"),
        (lambda: predicate(["a", None]), "predicate: got instructions list"),
        (lambda: predicate(7), "predicate: got instructions int 7"),
        (lambda: predicate(TBL), "predicate: got instructions Table"),
        (lambda: predicate(["a", ["b"]]), "predicate: got instructions list"),
        (lambda: predicate(YES), "predicate: got instructions dict"),
        (
            lambda: predicate([{"type": "text", "text": "a"}]),
            r"got instructions\[0\] of type str 'text', allowed: input_text",
        ),
        (
            lambda: predicate([{"type": "input_text"}]),
            r"got instructions\[0\] without 'text', which an input_text has",
        ),
        (lambda: predicate(["a", {"type": "input_json", "data": None}]), r"instructions\[1\] without 'data'"),
        (
            lambda: predicate([{"type": "input_text", "txt": "a"}]),
            r"with 'txt', allowed in an input_text: type, text; did you mean 'text'",
        ),
        (lambda: predicate([{"type": ["input_text"], "text": "a"}]), "of type list"),
        (
            lambda: choice("?", {True: "a"} | {1: "b"}),
            "got 1 choice, allowed: 2 to 255; in a dict, True and 1 are one",
        ),
        (lambda: choice("?", "a", "b"), "choice: got choices one by one, str 'a', str 'b', allowed: a list"),
        (lambda: score("?", "a", "b", "c"), "score: got levels one by one, .*str 'c', allowed: a list"),
    ],
)
def test_what_is_no_question(make: Callable[[], Any], message: str) -> None:
    """Told where it is made, and alike in the API's own form."""
    with pytest.raises(DefinitionError, match=message):
        make()


def test_400_questions_of_255_choices_are_allowed() -> None:
    """As many as the API takes."""
    assert len(sent([choice("?", WORDS[:255])] * 400)) == 400


def test_what_the_api_has_no_place_for_is_refused() -> None:
    """An option of columns among the arguments, a way that takes longer, a date in JSON is its text."""
    with pytest.raises(
        DefinitionError, match="decisions answers now, and has no cheaper way that takes longer"
    ):
        decisions(TBL.body, model="m", questions=[YES], within="24h")
    day = datetime.date(2027, 3, 1)
    (question,) = sent([predicate([{"type": "input_json", "data": {"day": day}}])])
    assert question["instructions"] == [{"type": "input_json", "data": {"day": day}}]
