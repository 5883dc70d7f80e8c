"""An answer that is not in the form asked for is the error of its row."""

import pytest
from pydantic import BaseModel, field_validator

from tests.functions.structured_answers import APIS, Tickets, Word, choice, output, saying, text
from tests.runs import failure
from tests.scripted_server import Asked, Reply


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("no JSON", "the answer is not of the form asked for: it is not JSON (Expecting value"),
        ("", "the answer is not of the form asked for: it is not JSON"),
        ('{"word": 1}', "the answer is not of the form asked for: word: "),
        ("{}", "the answer is not of the form asked for: word: Field required"),
        (
            '{"word": NaN}',
            "the answer is not of the form asked for: it is not JSON (NaN is no number of JSON)",
        ),
    ],
)
def test_an_answer_of_another_form_is_the_rows_error(
    said: str, message: str, api: str, tickets: Tickets
) -> None:
    """It says where the fault is."""
    tickets.run(api, saying(api, said), Word)
    ((errortype, got),) = tickets.errors
    if api == "responses" and not said:
        assert errortype == "EmptyAnswer"
        return
    assert errortype == "InvalidStructuredOutput"
    assert got.startswith(message)


@pytest.mark.parametrize(
    ("api", "reply", "error"),
    [
        ("chat", choice(content=None, refusal="I cannot."), ("RefusalError", "refused to answer: I cannot.")),
        (
            "responses",
            output({"type": "refusal", "refusal": "No."}),
            ("RefusalError", "refused to answer: No."),
        ),
        (
            "chat",
            choice("length", content='{"wo'),
            ("TruncatedAnswer", "cut short (length), so it cannot be parsed; raise max_completion_tokens"),
        ),
        (
            "responses",
            output(text('{"wo'), status="incomplete", reason="max_output_tokens"),
            (
                "TruncatedAnswer",
                "cut short (max_output_tokens), so it cannot be parsed; raise max_output_tokens",
            ),
        ),
        (
            "chat",
            choice("content_filter", content=None),
            (
                "TruncatedAnswer",
                "cut short (content_filter), so it cannot be parsed; the API's filter took out",
            ),
        ),
        (
            "responses",
            output(status="incomplete", reason="content_filter"),
            (
                "TruncatedAnswer",
                "cut short (content_filter), so it cannot be parsed; the API's filter took out",
            ),
        ),
        ("chat", choice(content=None), ("EmptyAnswer", "neither text nor tool calls")),
        ("responses", output(), ("EmptyAnswer", "neither text nor tool calls")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_answer_is_the_rows_error(
    api: str, reply: Reply, error: tuple[str, str], tickets: Tickets
) -> None:
    """A refusal, a truncated or an empty answer is never a null."""
    tickets.run(api, reply, Word)
    ((errortype, message),) = tickets.errors
    assert errortype == error[0]
    assert error[1] in message
    assert tickets.parsed == [None]


@pytest.mark.parametrize(
    ("api", "reply"),
    [
        ("chat", Reply({"choices": [None]})),
        ("chat", Reply({"choices": ["text"]})),
        ("chat", Reply({"choices": [{"message": "text"}]})),
        ("chat", choice(content=['{"word": "a"}'])),
        ("responses", Reply({"output": [None], "status": "completed"})),
        ("responses", Reply({"output": [], "status": "incomplete", "incomplete_details": "text"})),
        ("responses", output({"type": "output_text"})),
        ("responses", output(None)),
    ],
)
def test_an_answer_that_is_not_as_documented_is_the_rows_error(
    api: str, reply: Reply, tickets: Tickets
) -> None:
    """Of a server of other ways; the other rows are answered."""
    tickets.run(
        api,
        lambda asked: reply if asked.text == "bad" else saying(api, '{"word": "b"}'),
        Word,
        texts=("bad", "b"),
    )
    assert [errortype for errortype, _ in tickets.errors] == ["InvalidAnswer", None]
    assert tickets.parsed == [None, {"word": "b"}]


def test_a_validator_that_raises_is_the_rows_error(tickets: Tickets) -> None:
    """Whatever it raises."""

    class Strict(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def known(cls, word: str) -> str:
            raise KeyError(word)

    tickets.run("chat", saying("chat", '{"word": "a"}'), Strict)
    assert tickets.errors[0][0] == "InvalidStructuredOutput"
    assert "Strict: KeyError: 'a'" in tickets.errors[0][1]


def test_a_refusal_fails_a_run_that_is_to_abort(tickets: Tickets) -> None:
    """And is asked again by the next, while what was parsed is kept."""
    refused = choice(content=None, refusal="I cannot.")

    def script(asked: Asked) -> Reply:
        return refused if asked.text == "bad" else saying("chat", '{"word": "b"}')

    result, _ = tickets.run("chat", script, Word, texts=("b", "bad"), fails=True)
    assert "id=1: RefusalError: the model refused to answer: I cannot." in failure(result).description
    _, server = tickets.run("chat", saying("chat", '{"word": "c"}'), Word, texts=("b", "bad"))
    assert server.texts[-1:] == ["bad"]
    assert tickets.parsed[1] == {"word": "c"}
