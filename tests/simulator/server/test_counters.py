import asyncio

NOTHING = {
    "requests": 0,
    "answered": 0,
    "rate_limited": 0,
    "client_errors": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "inputs": 0,
    "in_flight": 0,
    "max_in_flight": 0,
    "faults": {"500": 0, "503": 0, "dropped": 0, "slow": 0},
    "by_endpoint": {},
}


def test_counters_start_at_zero(simulator):
    """They need no key, and looking at them does not count."""
    simulator.counters()
    simulator.get("/v1/models")
    assert simulator.counters() == NOTHING


def test_answers_add_up_to_the_counters(simulator):
    """Requests by endpoint, tokens as the usage states them, inputs of embeddings and moderations."""
    usage = [simulator.chat(text).json()["usage"] for text in ("A question.", "Another, longer question?")]
    simulator.embed(["1234", "1234"])
    simulator.moderate(["1234", "1234", "1234"])
    assert simulator.counters() == {
        **NOTHING,
        "requests": 4,
        "answered": 4,
        "input_tokens": sum(each["prompt_tokens"] for each in usage) + 2 + 3,
        "output_tokens": sum(each["completion_tokens"] for each in usage),
        "inputs": 5,
        "max_in_flight": 1,
        "by_endpoint": {"chat/completions": 2, "embeddings": 1, "moderations": 1},
    }


def test_limited_requests_are_counted_apart(simulate):
    """They are neither answers nor client errors, and add no tokens."""
    simulator = simulate(rpm=1)
    simulator.chat()
    once = simulator.counters()
    simulator.chat()
    assert simulator.counters() == {
        **once,
        "requests": 2,
        "rate_limited": 1,
        "by_endpoint": {"chat/completions": 2},
    }


def test_a_key_without_quota_is_a_client_error(simulator):
    """Its 429 is no limit that waiting would help."""
    simulator.chat(key="sk-no-quota")
    counters = simulator.counters()
    assert (counters["rate_limited"], counters["client_errors"]) == (0, 1)


def test_requests_in_flight_are_counted(simulate):
    """Now, and at most since the start."""
    simulator = simulate(latency=1)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello."}]}

    async def burst(count):
        async with simulator.client() as client:
            headers = {"authorization": "Bearer sk-test"}
            await asyncio.gather(
                *(client.post("/v1/chat/completions", json=body, headers=headers) for _ in range(count))
            )

    asyncio.run(burst(7))
    asyncio.run(burst(3))
    counters = simulator.counters()
    assert (counters["in_flight"], counters["max_in_flight"]) == (0, 7)


def test_a_reset_zeroes_the_counters(simulator):
    """And answers with them."""
    simulator.chat()
    simulator.chat(foo=1)
    assert simulator.post("/simulator/reset", None, key=None).json() == NOTHING
    assert simulator.counters() == NOTHING


def test_a_reset_leaves_the_limits(simulate):
    """What was taken out of a bucket stays taken."""
    simulator = simulate(rpm=1)
    simulator.chat()
    simulator.post("/simulator/reset", None, key=None)
    assert simulator.chat().status_code == 429


def test_requests_in_flight_survive_a_reset(simulate):
    """Since they will leave: a reset in mid-run never makes their number negative."""
    seen = {}

    async def reset_meanwhile(seconds):
        async with simulator.client() as client:
            seen.update((await client.post("/simulator/reset")).json())

    simulator = simulate(sleep=reset_meanwhile, latency=1)
    simulator.chat()
    assert seen == {**NOTHING, "in_flight": 1, "max_in_flight": 1}
    assert (simulator.counters()["in_flight"], simulator.counters()["answered"]) == (0, 1)
