"""POST /v1/responses: conversations, by the id of an answer or by its items."""

import asyncio

import httpx2
import openai
import pytest

from pxt_assets.simulator.prompt.conversation import Conversation
from pxt_assets.simulator.responses.store import StoredResponse, StoredResponses

PATH = "/v1/responses"
TOOLS = [{"type": "function", "name": "get_weather", "parameters": {}}]
WEATHER = "What weather is it?"


def respond(simulator, given, key="sk-test", **arguments):
    return simulator.post(PATH, {"model": "gpt-4o", "input": given, **arguments}, key)


def answered(simulator, given, **arguments):
    response = respond(simulator, given, **arguments)
    assert response.status_code == 200, response.text
    return response.json()


def text(body):
    return body["output"][0]["content"][0]["text"]


def output_of(call_id, output="Sunny."):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def refusal(response, status=400):
    assert response.status_code == status, response.text
    return response.json()["error"]


def kept(question):
    return StoredResponse(Conversation(question=question), "sim-msg-1", None, frozenset())


def test_an_answer_is_continued_by_its_id(simulator):
    """What was said before is input again, and counts as such."""
    first = answered(simulator, "x" * 400)
    second = answered(simulator, "New.", previous_response_id=first["id"])
    assert text(second) == "[simulated] New."
    assert second["previous_response_id"] == first["id"]
    before = first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
    assert before < second["usage"]["input_tokens"] <= before + 10


def test_what_is_continued_is_charged(simulate):
    """The limit sees the whole input."""
    simulator = simulate(tpm=10_000)
    first = answered(simulator, "x" * 4000)
    response = respond(simulator, "", previous_response_id=first["id"])
    spent = 10_000 - int(response.headers["x-ratelimit-remaining-tokens"])
    assert spent > 2 * 1000 + 2 * 25


def test_instructions_are_not_carried_on(simulator):
    """As with the API, so that they can be changed."""
    ids = [answered(simulator, "a", instructions=said)["id"] for said in (None, "y" * 400)]
    tokens = [answered(simulator, "b", previous_response_id=i)["usage"]["input_tokens"] for i in ids]
    assert tokens[0] == tokens[1]


def test_one_answer_has_many_continuations(simulator):
    """None of which sees another."""
    first = answered(simulator, "a")["id"]
    second, other, again = (
        answered(simulator, given, previous_response_id=first) for given in ("x" * 400, "b", "x" * 400)
    )
    assert second == again
    assert other["usage"]["input_tokens"] < second["usage"]["input_tokens"]


def test_the_earlier_question_is_answered_where_there_is_no_other(simulator):
    """An input may be left out, or hold the output of a function only."""
    first = answered(simulator, "The zip broke.")
    body = {"model": "gpt-4o", "previous_response_id": first["id"]}
    assert text(simulator.post(PATH, body).json()) == "[simulated] The zip broke."


def test_a_call_is_continued_with_its_output(simulator):
    """By a text, or an agent would call for ever; the next question may call again."""
    [call] = (first := answered(simulator, WEATHER, tools=TOOLS))["output"]
    second = answered(simulator, [output_of(call["call_id"])], tools=TOOLS, previous_response_id=first["id"])
    assert text(second) == f"[simulated] {WEATHER}"
    third = answered(simulator, "And what weather tomorrow?", tools=TOOLS, previous_response_id=second["id"])
    assert third["output"][0]["type"] == "function_call"


@pytest.mark.parametrize("by_reference", [False, True])
def test_a_call_is_continued_by_its_item(simulator, by_reference):
    """Sent back whole, or referred to."""
    [call] = answered(simulator, WEATHER, tools=TOOLS)["output"]
    sent = {"type": "item_reference", "id": call["id"]} if by_reference else call
    given = [{"role": "user", "content": WEATHER}, sent, output_of(call["call_id"])]
    assert text(answered(simulator, given, tools=TOOLS)) == f"[simulated] {WEATHER}"


def test_the_output_of_a_function_may_have_parts(simulator):
    """Its images count as those of messages do."""
    call = {"type": "function_call", "call_id": "c", "name": "draw", "arguments": "{}"}
    parts = [{"type": "input_text", "text": "Done."}, {"type": "input_image", "file_id": "file-1"}]
    given = [{"role": "user", "content": "Draw."}, call, output_of("c", parts)]
    assert answered(simulator, given)["usage"]["input_tokens"] > 765


def test_a_call_without_its_output_is_refused(simulator):
    """Whether it was sent or put out before."""
    [call] = (first := answered(simulator, WEATHER, tools=TOOLS))["output"]
    for response in (
        respond(simulator, [{"role": "user", "content": "a"}, call]),
        respond(simulator, "a", previous_response_id=first["id"]),
        respond(simulator, [{"type": "item_reference", "id": call["id"]}]),
    ):
        error = refusal(response)
        assert error["message"] == f"No tool output found for function call {call['call_id']}."
        assert error["param"] == "input"


def test_an_output_without_its_call_is_refused(simulator):
    """And so is one that comes before it."""
    call = {"type": "function_call", "call_id": "c", "name": "draw", "arguments": "{}"}
    for given in ([output_of("c")], [output_of("c"), call]):
        error = refusal(respond(simulator, given))
        assert error["message"] == "No tool call found for function call output with call_id c."


@pytest.mark.parametrize("key", ["sk-test", "sk-other"])
def test_an_unknown_answer_is_not_continued(simulator, key):
    """Nor one of another key."""
    own = answered(simulator, "a")["id"]
    error = refusal(respond(simulator, "b", key, previous_response_id=own if key == "sk-other" else "resp_1"))
    assert error["code"] == "previous_response_not_found"
    assert error["param"] == "previous_response_id"


def test_an_answer_that_is_not_stored_is_not_continued(simulator):
    """Neither by its id nor by that of its item."""
    first = answered(simulator, "a", store=False)
    error = refusal(respond(simulator, "b", previous_response_id=first["id"]))
    assert error["code"] == "previous_response_not_found"
    error = refusal(respond(simulator, [{"type": "item_reference", "id": first["output"][0]["id"]}]), 404)
    assert "not persisted" in error["message"]


def test_an_item_of_another_name_is_not_found(simulator):
    """Even if it ends like one that there is."""
    digest = answered(simulator, "a")["id"].removeprefix("sim-resp-")
    for item_id in (f"sim-fc-{digest}", digest, "msg_1"):
        refusal(respond(simulator, [{"id": item_id}]), 404)


def test_what_is_refused_is_not_charged(simulate):
    """An unknown answer is found out before the limit is asked."""
    simulator = simulate(rpm=1)
    refusal(respond(simulator, "b", previous_response_id="resp_1"))
    answered(simulator, "a")


def test_an_answer_that_never_arrived_is_not_stored(simulate):
    """A fault leaves nothing behind, though the answer would have had the id that any simulator gives it."""
    faulty = simulate(fault_rate=1, seed=1)
    assert respond(faulty, "a").status_code >= 500
    lost = answered(simulate(seed=1), "a")["id"]
    error = refusal(respond(faulty, "b", previous_response_id=lost))
    assert error["code"] == "previous_response_not_found"


def test_the_word_json_may_have_been_said_before(simulator):
    """It is looked for in the whole conversation, but not in the instructions."""
    arguments = {"text": {"format": {"type": "json_object"}}}
    first = answered(simulator, "Speak JSON.")["id"]
    answered(simulator, "Go on.", previous_response_id=first, **arguments)
    error = refusal(respond(simulator, "Go on.", instructions="Speak JSON.", **arguments))
    assert "must contain the word 'json'" in error["message"]


def test_the_oldest_answers_are_forgotten():
    """Memory is bounded: by the characters that are kept, and something for each answer."""
    stored = StoredResponses(max_characters=10_000)
    answers = stored.for_key("sk-test")
    for number in range(100):
        answers.store(f"sim-resp-{number}", kept("x" * 500))
    found = [number for number in range(100) if answers.find(f"sim-resp-{number}")]
    assert found == list(range(90, 100))


def test_an_answer_given_again_is_kept_once():
    """Equal requests have equal ids."""
    stored = StoredResponses(max_characters=10_000)
    answers = stored.for_key("sk-test")
    answers.store("sim-resp-first", kept("a"))
    for _ in range(100):
        answers.store("sim-resp-same", kept("x" * 500))
    assert answers.find("sim-resp-first") is not None


def test_the_client_holds_a_conversation(simulator):
    """OpenAI's own: it calls, sends back what it was answered, and goes on by the id."""

    async def talk():
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator.app))
        async with openai.AsyncOpenAI(
            base_url="http://simulator/v1", api_key="sk-test", max_retries=0, http_client=http_client
        ) as client:
            first = await client.responses.create(model="gpt-4o", input=WEATHER, tools=TOOLS)
            call = first.output[0]
            second = await client.responses.create(
                model="gpt-4o",
                input=[{"role": "user", "content": WEATHER}, *first.output, output_of(call.call_id)],
            )
            third = await client.responses.create(
                model="gpt-4o", input=[*second.output, {"role": "user", "content": "Thanks."}]
            )
            fourth = await client.responses.create(
                model="gpt-4o", input="Bye.", previous_response_id=third.id
            )
            return [answer.output_text for answer in (first, second, third, fourth)]

    assert asyncio.run(talk()) == ["", f"[simulated] {WEATHER}", "[simulated] Thanks.", "[simulated] Bye."]
