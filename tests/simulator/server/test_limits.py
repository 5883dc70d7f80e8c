import math

import pytest


def limits_of(response):
    return {
        name.removeprefix("x-ratelimit-"): value
        for name, value in response.headers.items()
        if name.startswith("x-ratelimit-")
    }


def test_headers_state_what_is_left_after_the_charge(simulate):
    """Remaining is the floor of the level; reset is the time until full, not until the next slot."""
    simulator = simulate(rpm=60, tpm=6000)
    response = simulator.chat("x" * 388)  # 97 tokens and 3 more
    assert limits_of(response) == {
        "limit-requests": "60",
        "remaining-requests": "59",
        "reset-requests": "1s",
        "limit-tokens": "6000",
        "remaining-tokens": "5900",
        "reset-tokens": "1s",
    }


def test_a_request_is_charged_when_it_arrives(simulate):
    """The headers of a slow answer show the level at arrival, not at the answer."""
    simulator = simulate(rpm=60, latency=30)
    assert simulator.chat().headers["x-ratelimit-remaining-requests"] == "59"
    assert simulator.time.slept == [30]


def test_a_server_without_limits_states_very_large_ones(simulator):
    """The API's highest tiers send limits too."""
    headers = limits_of(simulator.chat())
    assert headers["limit-requests"] == "10000000"
    assert headers["limit-tokens"] == "1000000000"


def test_an_exhausted_limit_answers_429_with_the_exact_wait(simulate):
    """`retry-after-ms` is exact, `retry-after` whole seconds, at least one; the message agrees."""
    simulator = simulate(tpm=30_000)
    simulator.chat("x" * 4 * (29_446 - 3))
    response = simulator.chat("x" * 4 * (821 - 3))
    assert response.status_code == 429
    assert response.headers["retry-after-ms"] == "534"
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-ratelimit-remaining-tokens"] == "554"
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert error["message"] == (
        "Rate limit reached for gpt-4o-mini in organization org-simulated on tokens per min (TPM): "
        "Limit 30000, Used 29446, Requested 821. Please try again in 534ms. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )


def test_who_waits_for_retry_after_ms_is_let_in(simulate):
    """One millisecond earlier is too early."""
    simulator = simulate(rpm=90)
    while simulator.chat().status_code == 200:
        pass
    wait = int(simulator.chat().headers["retry-after-ms"])
    simulator.time.now += (wait - 1) / 1000
    assert simulator.chat().status_code == 429
    simulator.time.now += 1 / 1000
    assert simulator.chat().status_code == 200


def test_a_429_charges_nothing_and_does_not_wait(simulate):
    """A refused request leaves both buckets as they were, and is answered without the latency."""
    simulator = simulate(rpm=1, tpm=1000, latency=2)
    simulator.chat()
    before = simulator.time.now
    first, second = simulator.chat(), simulator.chat()
    assert first.status_code == second.status_code == 429
    assert first.json()["error"]["type"] == "requests"
    assert first.headers["x-ratelimit-remaining-tokens"] == second.headers["x-ratelimit-remaining-tokens"]
    assert simulator.time.now == before


def test_a_request_beyond_the_whole_limit_is_told_so(simulate):
    """No wait would help, so the answer has no `retry-after`."""
    response = simulate(tpm=100).chat("x" * 1000)
    assert response.status_code == 429
    assert "retry-after" not in response.headers
    message = response.json()["error"]["message"]
    assert message.startswith("Request too large for gpt-4o-mini")
    assert "Limit 100, Requested 253" in message


@pytest.mark.parametrize(
    ("other", "shared"), [("gpt-4o-mini-2024-07-18", True), ("gpt-4o", False), ("gpt-4.1-mini", False)]
)
def test_snapshots_of_a_model_share_its_limit(simulate, other, shared):
    """A dated name draws on the bucket of its family, another family has its own."""
    simulator = simulate(rpm=1)
    simulator.chat(model="gpt-4o-mini")
    assert (simulator.chat(model=other).status_code == 429) is shared


def test_keys_do_not_share_limits(simulate):
    """Each key has its own buckets."""
    simulator = simulate(rpm=1)
    assert simulator.chat(key="sk-one").status_code == 200
    assert simulator.chat(key="sk-two").status_code == 200
    assert simulator.chat(key="sk-one").status_code == 429


def test_a_chat_is_charged_its_text_and_images(simulate):
    """A quarter of the characters of all messages, 3 tokens more, and 765 for an image."""
    simulator = simulate(tpm=10_000)
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [
        {"role": "system", "content": "12345"},
        {"role": "user", "content": [{"type": "text", "text": "678"}, image]},
    ]
    response = simulator.chat(messages=messages, max_tokens=500)
    assert response.headers["x-ratelimit-remaining-tokens"] == str(10_000 - 2 - 3 - 765)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_are_charged_on_demand(simulate, name):
    """The API did so until the end of 2024."""
    response = simulate(tpm=10_000, count_max_tokens=True).chat("1234", **{name: 500})
    assert response.headers["x-ratelimit-remaining-tokens"] == str(10_000 - 1 - 3 - 500)


def test_embeddings_are_charged_each_input_rounded_up(simulate):
    """Five characters are two tokens, in each input."""
    response = simulate(tpm=10_000).embed(["12345", "12345"])
    assert response.headers["x-ratelimit-remaining-tokens"] == str(10_000 - 4)


def test_moderations_are_limited_without_a_word_in_the_headers(simulate):
    """The only sign of the limit is the 429 with its `retry-after`."""
    simulator = simulate(rpm=100, moderation_rpm=1)
    first, second = simulator.moderate("a"), simulator.moderate("a")
    assert limits_of(first) == limits_of(second) == {}
    assert second.status_code == 429
    assert second.headers["retry-after"] == "60"


def test_the_aliases_of_a_model_share_its_limit(simulate):
    """The "latest" is a snapshot too."""
    simulator = simulate(moderation_rpm=1)
    assert simulator.moderate("a", model="omni-moderation-latest").status_code == 200
    assert simulator.moderate("a", model="omni-moderation-2024-09-26").status_code == 429


def test_a_fine_tuned_chat_model_may_be_named_for_moderation(simulate):
    """Its limits are those of chats, and stated as such."""
    simulator = simulate(rpm=10, moderation_rpm=1)
    response = simulator.chat(model="ft:gpt-4o-mini:me:my-moderation:1")
    assert response.headers["x-ratelimit-limit-requests"] == "10"


def test_moderations_fall_back_to_the_common_limit(simulate):
    """Without a limit of their own, `rpm` is theirs too."""
    simulator = simulate(rpm=1)
    assert [simulator.moderate("a").status_code for _ in range(2)] == [200, 429]


def test_a_compatible_server_may_send_no_limits(simulate):
    """With `headers=False` there are none, but the limit holds."""
    simulator = simulate(rpm=1, headers=False)
    responses = [simulator.chat(), simulator.chat()]
    assert [limits_of(response) for response in responses] == [{}, {}]
    assert responses[1].headers["retry-after-ms"] == "60000"


def test_buckets_may_start_partly_full(simulate):
    """A tenth of the limit lets a tenth of a minute's requests in at once."""
    simulator = simulate(rpm=50, initial_level=0.1)
    assert [simulator.chat().status_code for _ in range(6)] == [200] * 5 + [429]


def test_a_refused_request_is_not_charged(simulate):
    """Malformed requests and unknown models never reach the limits, and their answers do not state them."""
    simulator = simulate(rpm=10)
    refused = [
        simulator.chat(temperature=9),
        simulator.chat(model="claude"),
        simulator.post("/v1/embeddings", {}),
    ]
    assert [limits_of(response) for response in refused] == [{}, {}, {}]
    assert simulator.chat().headers["x-ratelimit-remaining-requests"] == "9"


def test_limits_change_in_mid_run(simulate):
    """A halved limit holds from then on, for families already in use and for new ones."""
    simulator = simulate(rpm=100)
    simulator.chat()
    changed = simulator.post("/simulator/limits", {"rpm": 50}, key=None)
    assert changed.json()["rpm"] == 50
    assert simulator.chat().headers["x-ratelimit-limit-requests"] == "50"
    assert simulator.chat(model="gpt-4o").headers["x-ratelimit-limit-requests"] == "50"
    assert simulator.chat().headers["x-ratelimit-remaining-requests"] == "48"


def test_limits_change_for_one_model(simulate):
    """With a model, the others keep theirs."""
    simulator = simulate(rpm=100)
    simulator.post("/simulator/limits", {"rpm": 50, "model": "gpt-4o-2024-08-06"}, key=None)
    assert simulator.chat(model="gpt-4o").headers["x-ratelimit-limit-requests"] == "50"
    assert simulator.chat().headers["x-ratelimit-limit-requests"] == "100"


def test_limits_can_be_lifted(simulate):
    """Null is no limit."""
    simulator = simulate(rpm=1)
    simulator.post("/simulator/limits", {"rpm": None}, key=None)
    assert simulator.chat().headers["x-ratelimit-limit-requests"] == "10000000"


@pytest.mark.parametrize("body", [{}, {"model": "gpt-4o"}, {"rpm": 0}, {"tpm": "9"}, {"rps": 1, "rpm": 1}])
def test_a_senseless_change_of_limits_is_refused(simulator, body):
    """The message shows what is allowed."""
    response = simulator.post("/simulator/limits", body, key=None)
    assert response.status_code == 400
    assert '"rpm" and/or "tpm"' in response.json()["error"]["message"]


def test_no_more_is_admitted_than_the_limit_allows(simulate):
    """In ten minutes of a client that never stops, a limit of 30 admits 30 and then 30 a minute."""
    simulator = simulate(rpm=30)
    admitted = 0
    for _ in range(600):
        admitted += simulator.chat().status_code == 200
        simulator.time.now += 1
    assert math.isclose(admitted, 30 + 300, abs_tol=1)
