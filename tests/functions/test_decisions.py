"""`decisions`: what is sent of a row, and what becomes of the answers."""

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from pxt_assets import Table, choice, predicate, score
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions import decisions
from pxt_assets.throttle import request_size
from pxt_assets.types import Bool, Float, Int, Json, String
from pxt_assets.values.media import Media
from tests.conformance.samples import picture

TBL = Table("tickets", key="id")
QUESTIONS = {
    "urgent": predicate("Today?"),
    "topic": choice("What?", ["delivery", "defect"]),
    "late": choice("Late?", [True, False]),
    "any": choice("Which?", [True, "unknown"]),
    "anger": score("How?", ["calm", "annoyed", "furious"]),
}
CALL = decisions(TBL.body, model="gpt-6-luna", questions=QUESTIONS)
URL = "https://example.com/a.png"


def shares(named: str, **probabilities: float) -> list[dict[str, Any]]:
    return [{named: name, "probability": share} for name, share in probabilities.items()]


def levels(**values: int) -> list[dict[str, Any]]:
    return [{"label": label, "value": value, "probability": 0.33} for label, value in values.items()]


URGENT = {"type": "predicate", "name": "urgent", "probability": 0.25}
TOPIC = {
    "type": "choice",
    "name": "topic",
    "choice": "defect",
    "confidence": 0.6,
    "probabilities": shares("value", delivery=0.1, defect=0.9),
}
LATE = {
    "type": "choice",
    "name": "late",
    "choice": True,
    "confidence": 1,
    "probabilities": [{"value": True, "probability": 1}, {"value": False, "probability": 0}],
}
ANY = {**TOPIC, "name": "any", "choice": "unknown", "probabilities": shares("value", unknown=0.99)}
ANGER = {
    "type": "score",
    "name": "anger",
    "score": 1.25,
    "confidence": 0.5,
    "probabilities": levels(calm=0, annoyed=1, furious=2),
}
ANSWERS = [URGENT, TOPIC, LATE, ANY, ANGER]
REFUSED = {"type": "refusal", "name": None}


def request(given: Any = "text", questions: Any = QUESTIONS, **more: Any) -> Any:
    call = decisions(TBL.body, model="gpt-6-luna", questions=questions, **more)
    return call._function.cell_request({**call._arguments, "input": given})


def cell(answers: Any, questions: Any = QUESTIONS, **more: Any) -> Any:
    """The cell of a row that is answered so."""
    asked = request(questions=questions)
    body = json.dumps({"answers": answers, "model": "gpt-6-luna", **more}).encode()
    (value,) = asked.endpoint.parse(body, asked.body).values
    return asked.cell_value(value)


def parsed(answers: Any, questions: Any = QUESTIONS) -> Any:
    return cell(answers, questions)["parsed"]


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


@pytest.mark.parametrize(
    ("path", "column_type"),
    [
        (CALL, Json),
        (CALL.model, String),
        (CALL.usage.input_tokens, Int),
        (CALL.answers[0].type, String),
        (CALL.answers["*"].name, Json),
        (CALL.parsed, Json),
        (CALL.parsed.urgent, Json),
        (CALL.parsed.urgent.probability, Float),
        (CALL.parsed.topic.choice, String),
        (CALL.parsed.topic.confidence, Float),
        (CALL.parsed.topic.probabilities[0].value, String),
        (CALL.parsed.late.choice, Bool),
        (CALL.parsed.any.choice, Json),
        (CALL.parsed.anger.score, Float),
        (CALL.parsed.anger.probabilities[0].label, String),
        (CALL.parsed.anger.probabilities[0].value, Int),
    ],
    ids=repr,
)
def test_the_columns_types_are_known(path: Any, column_type: Any) -> None:
    """While definitions load; a choice of both kinds is Json."""
    assert path._type is column_type


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (lambda: CALL.topic.choice, r"decisions\(.*\) has no topic, did you mean parsed\.topic\?"),
        (
            lambda: CALL.parsed.topc,
            r"\.parsed has no topc, allowed: urgent, topic, .*; did you mean 'topic'\?",
        ),
        (
            lambda: CALL.parsed.topic.probability,
            r"\.parsed\.topic has no probability, allowed: choice, confidence, probabilities; did you mean",
        ),
        (lambda: CALL.parsed.urgent.choice, r"\.urgent has no choice, allowed: probability$"),
        (lambda: CALL.parsed[0], r"\.parsed has no \[0\], allowed: urgent"),
    ],
)
def test_a_path_to_what_no_answer_has_is_told(path: Any, message: str) -> None:
    """While definitions load: names and fields are the same for all rows."""
    with pytest.raises(DefinitionError, match=message):
        path()


def test_what_a_server_adds_can_be_reached() -> None:
    """Beside the answers by name, all of which are known."""
    assert CALL.id._type is CALL.answers[0].why._type is Json


def test_answers_are_found_by_name() -> None:
    """The API's own fields but the type and the name, floats as such; the rest of the answer stays."""
    got = cell(ANSWERS, usage={"input_tokens": 3})
    assert got["answers"] == ANSWERS
    assert (got["model"], got["usage"]) == ("gpt-6-luna", {"input_tokens": 3})
    assert got["parsed"] == {one["name"]: without(one, "type", "name") for one in ANSWERS}
    assert type(got["parsed"]["late"]["confidence"]) is float


def test_the_order_of_the_answers_does_not_matter() -> None:
    """Where they name their questions; where they do not, it is that of the questions."""
    assert parsed(ANSWERS[::-1]) == parsed(ANSWERS)
    assert parsed([without(one, "name") for one in ANSWERS]) == parsed(ANSWERS)
    assert parsed([{**one, "name": None} for one in ANSWERS]) == parsed(ANSWERS)


def test_questions_without_a_name_are_found_in_the_answers_only() -> None:
    """Whatever is answered to them."""
    questions = [predicate("?"), {**predicate("?"), "name": "a"}]
    of_a = {"type": "predicate", "name": "a", "probability": 1.0}
    got = cell([{"type": "new", "name": None}, of_a], questions)
    assert (got["parsed"], len(got["answers"])) == ({"a": {"probability": 1.0}}, 2)
    assert parsed([{**URGENT, "name": None}, {**REFUSED, "name": "a"}], questions) == {"a": None}


def test_a_refused_question_is_null() -> None:
    """The others are answered."""
    got = parsed([URGENT, {**REFUSED, "name": "topic"}, LATE, REFUSED, ANGER])
    assert (got["topic"], got["any"], got["anger"]["score"]) == (None, None, 1.25)


@pytest.mark.parametrize("questions", [QUESTIONS, {"urgent": predicate("?")}, [predicate("?")]])
def test_a_row_of_which_all_is_refused_is_an_error(questions: Any) -> None:
    """As a structured output that is refused."""
    with pytest.raises(CellError, match=r"the model refused to answer (all 5 questions|the question)") as got:
        parsed([REFUSED] * len(questions), questions)
    assert got.value.errortype == "RefusalError"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (ANSWERS[:-1], "4 answers to 5 questions"),
        ([*ANSWERS, URGENT], "6 answers to 5 questions"),
        ([URGENT, URGENT, LATE, ANY, ANGER], "2 answers to the question 'urgent'"),
        ([{**URGENT, "name": "other"}, *ANSWERS[1:]], "no answer to the question 'urgent'"),
        ([{**TOPIC, "name": "urgent"}, *ANSWERS[1:]], "'urgent' is of type str 'choice', where a predicate was asked for"),
        ([{**URGENT, "type": "estimate"}, *ANSWERS[1:]], "'urgent' is of type str 'estimate'"),
        ([without(URGENT, "type"), *ANSWERS[1:]], "'urgent' is of type NoneType None"),
        ([{"type": "predicate"}, *ANSWERS[1:]], "has the probability NoneType None, which is no such number"),
        *(
            ([{**URGENT, "probability": wrong}, *ANSWERS[1:]], f"has the probability {shown}")
            for wrong, shown in [
                (None, "NoneType None"),
                (float("nan"), "NoneType None"),
                (float("inf"), "NoneType None"),
                ("0.5", "str '0.5'"),
                (True, "bool True"),
                (1.01, "1.01, which is not from 0 to 1"),
                (-0.2, "-0.2, which is not from 0 to 1"),
                (10**400, ""),
            ]
        ),
        ([URGENT, {**TOPIC, "choice": "other"}, *ANSWERS[2:]], "has the choice str 'other', which is none of those"),
        ([URGENT, {**TOPIC, "choice": None}, *ANSWERS[2:]], "has the choice NoneType None"),
        ([URGENT, {**TOPIC, "confidence": None}, *ANSWERS[2:]], "has the confidence NoneType None"),
        ([URGENT, {**TOPIC, "confidence": 2}, *ANSWERS[2:]], "has the confidence 2, which is not from 0 to 1"),
        ([URGENT, {**TOPIC, "probabilities": None}, *ANSWERS[2:]], "has the probabilities NoneType None"),
        ([URGENT, {**TOPIC, "probabilities": [1]}, *ANSWERS[2:]], "which are no list of objects"),
        ([URGENT, {**TOPIC, "probabilities": shares("value", x=1)}, *ANSWERS[2:]], "has probabilities of ['x']"),
        ([URGENT, {**TOPIC, "probabilities": shares("value", defect=1) * 2}, *ANSWERS[2:]], "has probabilities of"),
        ([URGENT, {**TOPIC, "probabilities": shares("value", defect=9)}, *ANSWERS[2:]], "has the probability 9"),
        ([URGENT, TOPIC, {**LATE, "choice": "true"}, ANY, ANGER], "has the choice str 'true'"),
        ([URGENT, TOPIC, {**LATE, "choice": 1}, ANY, ANGER], "has the choice int 1"),
        ([*ANSWERS[:-1], {**ANGER, "score": None}], "has the score NoneType None"),
        ([*ANSWERS[:-1], {**ANGER, "score": 2.5}], "has the score 2.5, which is not between its levels"),
        ([*ANSWERS[:-1], {**ANGER, "probabilities": shares("label", calm=1)}], "has the value NoneType None"),
        (
            [*ANSWERS[:-1], {**ANGER, "probabilities": [{"label": "calm", "value": 0.5, "probability": 1}]}],
            "which do not number the levels one by one",
        ),
        ([*ANSWERS[:-1], {**ANGER, "probabilities": levels(calm=2, annoyed=1, furious=0)}], "do not number the levels"),
        ([*ANSWERS[:-1], {**ANGER, "probabilities": levels(calm=0, annoyed=0, furious=0)}], "do not number the levels"),
        ([*ANSWERS[:-1], {**ANGER, "score": 3, "probabilities": levels(annoyed=1)}], "not between its levels, 0 to 2"),
        ([*ANSWERS[:-1], {**ANGER, "score": -1, "probabilities": []}], "not between its levels, 0 to 2"),
        ([URGENT, {**TOPIC, "probabilities": shares("value", delivery=0.9, defect=0.9)}, *ANSWERS[2:]], "add up to 1.8"),
        ([URGENT, {**TOPIC, "probabilities": shares("value", delivery=0, defect=0)}, *ANSWERS[2:]], "add up to 0"),
    ],
)  # fmt: skip
def test_what_is_no_answer_to_its_question_is_the_rows_error(answers: Any, message: str) -> None:
    """A wrong number is no figure of a column."""
    with pytest.raises(CellError) as got:
        parsed(answers)
    assert got.value.errortype == "InvalidAnswer"
    assert message in got.value.message


def test_rounding_and_what_is_new_do_no_harm() -> None:
    """A probability beside 0 or 1 by the rounding of a sum is that; a new field stays; options may be left out."""
    got = parsed([{**URGENT, "probability": 1.0000001, "why": "because"}, *ANSWERS[1:]])
    assert got["urgent"] == {"probability": 1.0, "why": "because"}
    assert got["any"]["probabilities"] == [{"value": "unknown", "probability": 0.99}]
    assert parsed([{**URGENT, "probability": -1e-9}, *ANSWERS[1:]])["urgent"]["probability"] == 0.0
    top = [{"label": "furious", "value": 2, "probability": 0.6}]
    assert parsed([*ANSWERS[:-1], {**ANGER, "probabilities": top}])["anger"]["score"] == 1.25
    from_1 = {**ANGER, "score": 3, "probabilities": levels(furious=3)}
    assert parsed([*ANSWERS[:-1], from_1])["anger"]["score"] == 3
    assert parsed([*ANSWERS[:-1], {**ANGER, "score": 2.0000001}])["anger"]["score"] == 2.0000001


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"answers": []}', b'{"answers": null}', b'{"answers": [1]}']
)
def test_another_body_is_no_answer(body: bytes) -> None:
    """A proxy may answer 200 with something else."""
    with pytest.raises(ValueError, match="no `answers`"):
        decisions.endpoint.parse(body, request().body)


@pytest.mark.parametrize(
    "image",
    [picture(), Media(picture()), PIL.Image.new("RGB", (8, 8)), {"bytes": picture(), "path": "a.png"}],
)
def test_an_image_is_an_input(image: Any) -> None:
    """As a message of the user's, in a form that the API takes."""
    body = json.loads(request(image).payload)
    ((part,),) = [message["content"] for message in body["input"]]
    assert body["input"][0]["role"] == "user"
    assert (part["type"], part["image_url"][:22]) == ("input_image", "data:image/png;base64,")


def test_images_stand_in_messages_and_in_instructions(tmp_path: Path) -> None:
    """Of columns, of constants and of files that code names; in what tools gave, too."""
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    part = {"type": "input_image", "image_url": Media(picture()), "detail": "low"}
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "?"}, part]},
        {"type": "function_call_output", "call_id": "c", "output": [part]},
    ]
    questions = [predicate(["Like this? ", file]), predicate([{"type": "input_image", "image_url": URL}])]
    body = json.loads(request(given, questions).payload)
    sent = [
        *body["input"][0]["content"][1:],
        *body["input"][1]["output"],
        body["questions"][0]["instructions"][1],
    ]
    assert [one["image_url"][:10] for one in sent] == ["data:image"] * 3
    assert body["questions"][1]["instructions"][0]["image_url"] == URL
    assert request(given, questions).size.low_images == 2


@pytest.mark.parametrize("given", [3, True, {"a": 1}, [], ["text"], [{"role": "user"}, "text"]])
def test_other_input_is_the_rows_error(given: Any) -> None:
    """The message says what was got and what is allowed."""
    with pytest.raises(
        CellError, match=r"decisions: input: got .*allowed: a text, an image, or a list of messages"
    ):
        request(given)
    with pytest.raises(DefinitionError, match="input: got "):
        decisions(given, model="m", questions=QUESTIONS)


@pytest.mark.parametrize(("kind", "allowed"), [("text", "input_text"), ("image_url", "input_image")])
def test_parts_in_the_words_of_chats_are_told(kind: str, allowed: str) -> None:
    """No row could be answered."""
    message = {"role": "user", "content": ["?", {"type": kind, kind: TBL.body}]}
    with pytest.raises(DefinitionError, match=rf"input\[0\]: got content\[1\] of type '{kind}', .*{allowed}"):
        decisions([message], model="m", questions=QUESTIONS)


def test_a_path_in_a_tables_text_is_not_read() -> None:
    """It is a text like any other."""
    assert request("/etc/hostname").body["input"] == "/etc/hostname"
    with pytest.raises(CellError, match="got the text"):
        request([{"role": "user", "content": [{"type": "input_image", "image_url": "/etc/hostname"}]}])


def test_other_arguments_are_sent() -> None:
    """By keyword and in model_kwargs."""
    body = request(safety_identifier="u", model_kwargs={"prompt_cache_key": "k"}).body
    assert (body["safety_identifier"], body["prompt_cache_key"]) == ("u", "k")


def test_all_text_counts_for_the_limit() -> None:
    """Of the input, the instructions, the choices and the levels."""
    small, large = request(questions=[predicate("a")]).size, request(questions=[predicate("a" * 4001)]).size
    assert large.least_tokens - small.least_tokens == 1000
    assert request("x" * 4000).size.least_tokens >= request_size(4000).least_tokens
    of_words = request(questions=[choice("?", {"a": "w" * 4000, "b": ""})]).size
    assert of_words.least_tokens > 1000
    json_part = [{"role": "user", "content": [{"type": "input_json", "data": {"a": "w" * 4000}}]}]
    assert request(json_part, [predicate("a")]).size.least_tokens > 1000


def test_rows_of_texts_are_filled_into_one_template() -> None:
    """With the same bytes, digest and size as those that are built, instructions included."""
    call = decisions(TBL.body, model="m", questions={"a": predicate([TBL.b, "?"]), "c": predicate(TBL.d)})
    texts = ('it\'s "quoted"', "b", "d")
    filled = call._function.request_of_texts(call._arguments).fill(texts)
    (a, c), (body, b, d) = call._arguments["questions"], texts
    row = {**call._arguments, "input": body}
    row["questions"] = [{**a, "instructions": [b, "?"]}, {**c, "instructions": d}]
    built = call._function.cell_request(row)
    assert (filled.payload, filled.digest, filled.size) == (built.payload, built.digest, built.size)


def test_limits_are_those_of_headers_or_configured() -> None:
    """It is not known of every server that its answers tell them."""
    assert not decisions.endpoint.sends_limits
