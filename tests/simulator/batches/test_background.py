"""Responses in the background, by the clock, as the API's own client meets them."""

import pytest

from tests.simulator.batches.later import asked, refused

ASKED = {"model": "gpt-6-luna", "input": "Hello there."}
LATER = {**ASKED, "background": True}


def ends(window):
    """The arguments of a completion window."""
    return {"background_options": {"completion_window": window}}


@pytest.mark.parametrize("options", [{}, ends("soonest"), ends("2h"), ends("8h")])
def test_a_response_comes_by_the_clock(simulate, options):
    """Queued, then in progress, then the answer that would have come at once."""
    simulator = simulate(background_seconds=100)

    async def use(client):
        new = await client.responses.create(**LATER, **options)
        seen = [new]
        for seconds in (9, 1, 89, 1):
            simulator.time.now += seconds
            seen.append(await client.responses.retrieve(new.id))
        return seen, await client.responses.create(**ASKED)

    seen, online = asked(simulator, use)
    assert [one.status for one in seen] == ["queued", "queued", *2 * ["in_progress"], "completed"]
    assert len({one.id for one in seen}) == 1
    for one in seen[:-1]:
        assert (one.output, one.usage, one.completed_at, one.error) == ([], None, None, None)
    last = seen[-1]
    assert (last.created_at, last.completed_at, last.background) == (1_000, 1_100, True)
    assert last.output_text == online.output_text
    assert last.usage == online.usage
    for one in seen:
        assert one.model_fields_set == online.model_fields_set
        assert one.model_extra.keys() == online.model_extra.keys()


def test_equal_requests_are_answered_apart(simulator):
    """Each has an id of its own, since each is paid for."""

    async def use(client):
        return [(await client.responses.create(**LATER)).id for _ in range(2)]

    assert len(set(asked(simulator, use))) == 2


def test_a_response_is_charged_when_it_is_asked_for(simulate):
    """By the limits that online requests have; not when it is fetched."""
    simulator = simulate(rpm=1)

    async def use(client):
        response = await client.responses.create(**LATER)
        error = await refused(client.responses.create(**LATER))
        for _ in range(3):
            await client.responses.retrieve(response.id)
        return error

    assert asked(simulator, use).status_code == 429


def test_a_response_is_cancelled(simulate):
    """Also when it was cancelled before; then nothing comes of it."""
    simulator = simulate(background_seconds=100)

    async def use(client):
        response = await client.responses.create(**LATER)
        simulator.time.now += 50
        cancelled = [await client.responses.cancel(response.id) for _ in range(2)]
        simulator.time.now += 100
        return [*cancelled, await client.responses.retrieve(response.id)]

    assert [(one.status, one.output) for one in asked(simulator, use)] == 3 * [("cancelled", [])]


def test_a_response_that_is_over_is_not_cancelled(simulator):
    """400."""

    async def use(client):
        response = await client.responses.create(**LATER)
        simulator.time.now += 1
        return await refused(client.responses.cancel(response.id))

    error = asked(simulator, use)
    assert (error.status_code, error.param) == (400, "response_id")
    assert "Cannot cancel a completed response." in error.message


def test_a_response_is_deleted(simulator):
    """Then it is unknown, as one that never was, and another key's."""

    async def use(client):
        response = await client.responses.create(**LATER)
        await client.responses.delete(response.id)
        return [
            await refused(call(response.id))
            for call in (client.responses.retrieve, client.responses.cancel, client.responses.delete)
        ]

    assert {error.status_code for error in asked(simulator, use)} == {404}
    other = asked(simulator, lambda client: client.responses.create(**LATER))
    error = asked(simulator, lambda client: refused(client.responses.retrieve(other.id)), key="sk-other")
    assert error.status_code == 404


def test_a_share_of_the_responses_fails(simulate):
    """With a code of the client's type."""
    simulator = simulate(background_failure_rate=0.5, seed=1)

    async def use(client):
        made = [await client.responses.create(**LATER) for _ in range(30)]
        simulator.time.now += 1
        return [await client.responses.retrieve(one.id) for one in made]

    ended = asked(simulator, use)
    failed = [one for one in ended if one.status == "failed"]
    assert 5 < len(failed) < 25
    for one in failed:
        assert (one.error.code, one.output, one.usage) == ("server_error", [], None)


def test_a_request_without_an_answer_fails_later(simulator):
    """Where an online request would be refused for it, once it is answered."""
    schema = {"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}
    text = {"format": {"type": "json_schema", "name": "a", "schema": schema}}

    async def use(client):
        online = await refused(client.responses.create(**ASKED, text=text))
        response = await client.responses.create(**LATER, text=text)
        simulator.time.now += 1
        return online, response, await client.responses.retrieve(response.id)

    online, new, response = asked(simulator, use)
    assert (online.status_code, new.status, response.status) == (400, "queued", "failed")
    assert response.error.code == "invalid_prompt"
    assert response.error.message in online.message


def test_a_response_that_is_cut_short_is_incomplete(simulator):
    """As online."""

    async def use(client):
        long = {**LATER, "input": "word " * 200, "max_output_tokens": 16}
        response = await client.responses.create(**long)
        assert response.incomplete_details is None
        simulator.time.now += 1
        return await client.responses.retrieve(response.id)

    response = asked(simulator, use)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.completed_at is None


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"background": True, "store": False}, "store"),
        (ends("8h"), "background_options.completion_window"),
        ({"background": False, **ends("2h")}, "background_options.completion_window"),
        ({"background": True, **ends("24h")}, "background_options.completion_window"),
        ({"background": True, "service_tier": "flex", **ends("8h")}, "background_options.completion_window"),
        (
            {"background": True, "service_tier": "priority", **ends("2h")},
            "background_options.completion_window",
        ),
        ({"background": True, "background_options": {"window": "8h"}}, "background_options.window"),
        ({"background": True, "background_options": "8h"}, "background_options"),
        ({"background": True, "stream": True}, "stream"),
        ({"background": "yes"}, "background"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(simulator, arguments, param):
    """400, with the argument."""
    response = simulator.post("/v1/responses", {**ASKED, **arguments})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_batch_has_no_responses_in_the_background(simulator):
    """Each is refused for itself."""
    from tests.simulator.batches.later import read, submit

    row = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": LATER}

    async def use(client):
        batch = await submit(client, [row], "/v1/responses")
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        return await read(client, batch.error_file_id)

    [failed] = asked(simulator, use)
    assert failed["response"]["body"]["error"]["param"] == "background"
