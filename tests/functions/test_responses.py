import json
from typing import Any

import pytest

from pxt_assets import OpenAIResource, Table
from pxt_assets.api.request import Usage
from pxt_assets.errors import CellError, DefinitionError
from pxt_assets.functions import responses
from tests.conformance.samples import picture
from tests.runs import materialize, rows_asset, stored, values
from tests.scripted_server import Reply, resource_of

ANSWER = {
    "id": "resp_1",
    "model": "gpt-4o-mini-2024-07-18",
    "status": "completed",
    "output": [
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "Hi "}, {"type": "output_text", "text": "😀"}],
        },
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"type": "message", "content": [{"type": "output_text", "text": "!"}]},
    ],
    "usage": {"input_tokens": 12, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 8}},
}


def request(given: Any = "Hello", **arguments: Any) -> Any:
    return responses.cell_request({"input": given, "model": "m", **arguments})


def parse(answer: Any) -> Any:
    return responses.endpoint.parse(json.dumps(answer).encode(), {})


class TestBody:
    @pytest.mark.parametrize(
        "given",
        [
            "Hello",
            [{"role": "user", "content": "Hello"}],
            [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
            [{"type": "function_call_output", "call_id": "c", "output": "20"}],
            [],
        ],
        ids=str,
    )
    def test_input_is_text_or_items(self, given):
        """It is sent as it is."""
        got = request(given)
        assert got.body == {"input": given, "model": "m"}
        assert got.endpoint.path == "/responses"

    def test_all_other_arguments_are_sent(self):
        """Through `model_kwargs` as one by one."""
        kwargs = {
            "instructions": "Be brief.",
            "temperature": 0,
            "max_output_tokens": 50,
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "previous_response_id": "resp_0",
            "store": False,
        }
        assert request(model_kwargs=kwargs).body == request(**kwargs).body
        assert request(model_kwargs=kwargs).body == {"input": "Hello", "model": "m", **kwargs}

    @pytest.mark.parametrize("given", [3, {"role": "user"}, ["Hello"], [None]])
    def test_other_input_is_the_rows_error(self, given):
        """The message says what was got and what is allowed."""
        with pytest.raises(CellError, match=r"input: got .*allowed: text, or a list of dicts") as e:
            request(given)
        assert e.value.errortype == "TypeError"

    def test_an_image_is_sent_as_a_data_url(self):
        """With the detail that the API requires, unless it is given."""
        parts = [
            {"type": "input_image", "image_url": picture()},
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
        ]
        sent = json.loads(request([{"role": "user", "content": parts}]).payload)["input"][0]["content"]
        assert [part["detail"] for part in sent] == ["auto", "low"]
        assert sent[0]["image_url"].startswith("data:image/png;base64,")
        assert sent[1]["image_url"] == "https://example.com/a.png"

    def test_a_stream_is_refused_at_once(self):
        """Cells hold whole answers."""
        with pytest.raises(DefinitionError, match="stream is not for cells"):
            responses(Table("t").body, model="m", model_kwargs={"stream": True})


class TestAnswer:
    def test_output_text_is_the_text_of_all_messages(self):
        """Beside the whole answer, as the client library has it."""
        parsed = parse(ANSWER)
        assert parsed.values == [{**ANSWER, "output_text": "Hi 😀!"}]
        assert parsed.usage == Usage(12, 3, 8)
        assert parsed.model == "gpt-4o-mini-2024-07-18"

    @pytest.mark.parametrize("output", [[], [{"type": "message", "content": None}], [None]], ids=str)
    def test_output_text_may_be_empty(self, output):
        """Where there is none, as in a call of a tool."""
        assert parse({**ANSWER, "output": output}).values[0]["output_text"] == ""

    def test_a_text_that_is_null_is_empty(self):
        """Not the word None."""
        output = [{"type": "message", "content": [{"type": "output_text", "text": None}]}]
        assert parse({**ANSWER, "output": output}).values[0]["output_text"] == ""

    @pytest.mark.parametrize("answer", [{}, [], "x", {"output": None}, {"error": {"message": "no"}}])
    def test_another_body_is_no_answer(self, answer):
        """A proxy may answer 200 with something else."""
        with pytest.raises(ValueError, match="no `output`"):
            parse(answer)

    @pytest.mark.parametrize(
        ("answer", "errortype", "message"),
        [
            (
                {"status": "failed", "error": {"code": "server_error", "message": "oops"}},
                "server_error",
                "the answer's status is failed: oops",
            ),
            ({"status": "queued"}, "UnfinishedAnswer", "is queued: .*leave out background=True"),
            ({"status": "cancelled", "error": None}, "UnfinishedAnswer", "the answer's status is cancelled"),
        ],
    )
    def test_an_answer_that_did_not_end_well_is_the_rows_error(self, answer, errortype, message):
        """It came with status 200 all the same."""
        with pytest.raises(CellError, match=message) as e:
            parse({**ANSWER, **answer})
        assert e.value.errortype == errortype

    def test_an_incomplete_answer_is_one(self):
        """What there is of it was paid for."""
        assert parse({**ANSWER, "status": "incomplete"}).values[0]["output_text"] == "Hi 😀!"


class TestTokens:
    def test_text_counts_by_four_characters(self):
        """Of input, instructions, parts and results of tools."""
        long = "x" * 4_000
        for body in (
            request(long),
            request([{"role": "user", "content": long}]),
            request([{"role": "user", "content": [{"type": "input_text", "text": long}]}]),
            request([{"type": "function_call_output", "call_id": "c", "output": long}]),
            request("", instructions=long),
        ):
            assert body.tokens == pytest.approx(1_000, rel=0.01)

    def test_images_count_flat(self):
        """Not by the length of their URL."""
        image = {"type": "input_image", "image_url": "data:image/png;base64," + "x" * 100_000}
        assert 0 < request([{"role": "user", "content": [image]}]).tokens < 2_000


def run(store: Any, openai: OpenAIResource, make: Any, **rows: Any) -> Any:
    upstream = rows_asset({"id": [1, 2], "body": ["a", None], **rows})
    table = Table(upstream, key="id")
    table.add_computed_column(response=make(table))
    table.add_computed_column(answer=table.response.output_text)
    materialize([upstream, *table.assets], store, openai)


def test_output_text_is_stored(store, serve):
    """It can be reached by a path, as text; a null asks for nothing."""
    server = serve(lambda asked: Reply(ANSWER))
    run(store, resource_of(server), lambda t: responses(t.body, model="m"))
    assert values(store, "tickets/answer") == ["Hi 😀!", None]
    assert str(stored(store, "tickets/answer")["answer"].type) == "string"
    assert [asked.path for asked in server.asked] == ["/v1/responses"]
    assert server.texts == ["a"]


def test_a_column_may_stand_anywhere_in_it(store, serve):
    """In items, in `model_kwargs`, in the model's name."""
    server = serve(lambda asked: Reply(ANSWER))
    run(
        store,
        resource_of(server),
        lambda t: responses(
            [{"role": "user", "content": t.body}],
            model=t.model,
            model_kwargs={"instructions": t.tone, "temperature": 0},
        ),
        model=["m1", "m2"],
        tone=["dry", "kind"],
    )
    assert [asked.body for asked in server.asked] == [
        {"input": [{"role": "user", "content": "a"}], "model": "m1", "instructions": "dry", "temperature": 0}
    ]


def test_a_conversation_goes_on_by_the_answers_id(store, simulated):
    """`previous_response_id` may be a path into another column."""
    upstream = rows_asset({"id": [1], "body": ["My name is Ada."]})
    table = Table(upstream, key="id")
    table.add_computed_column(first=responses(table.body, model="gpt-4o-mini"))
    table.add_computed_column(
        second=responses(
            "What is my name?", model="gpt-4o-mini", model_kwargs={"previous_response_id": table.first.id}
        )
    )
    materialize([upstream, *table.assets], store, simulated)
    (first,) = (json.loads(cell) for cell in values(store, "tickets/first"))
    (second,) = (json.loads(cell) for cell in values(store, "tickets/second"))
    assert second["previous_response_id"] == first["id"]
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]


def test_limits_are_those_of_the_headers():
    """No configuration is needed."""
    assert responses.endpoint.sends_limits
    assert responses.endpoint.max_cells == 1
