import asyncio
import statistics
from collections import Counter

import pytest


def outcome(simulator):
    try:
        return str(simulator.chat().status_code)
    except ConnectionResetError:
        return "dropped"


def test_faults_are_shared_evenly(simulate):
    """A third of them are 5xx of either kind, a third dropped connections, a third slow answers."""
    simulator = simulate(fault_rate=1.0, slow_seconds=7)
    outcomes = Counter(outcome(simulator) for _ in range(300))
    assert outcomes.keys() == {"200", "500", "503", "dropped"}
    for count in (outcomes["200"], outcomes["dropped"], outcomes["500"] + outcomes["503"]):
        assert 70 < count < 130
    assert simulator.counters()["faults"] == {
        "500": outcomes["500"],
        "503": outcomes["503"],
        "dropped": outcomes["dropped"],
        "slow": outcomes["200"],
    }
    assert simulator.time.slept == [7] * outcomes["200"]


def test_only_slow_answers_count_as_answered(simulate):
    """The other faults are no answers."""
    simulator = simulate(fault_rate=1.0)
    outcomes = [outcome(simulator) for _ in range(30)]
    counters = simulator.counters()
    assert counters["answered"] == counters["faults"]["slow"] == outcomes.count("200")
    assert counters["requests"] == 30
    assert counters["in_flight"] == counters["client_errors"] == 0


def test_the_share_of_faults_is_the_rate(simulate):
    """A tenth is about a tenth."""
    simulator = simulate(fault_rate=0.1)
    for _ in range(500):
        outcome(simulator)
    assert 25 < sum(simulator.counters()["faults"].values()) < 80


def test_the_seed_decides_which_requests_meet_a_fault(simulate):
    """The same seed gives the same faults, whatever the latency."""
    runs = [
        [outcome(simulator) for _ in range(40)]
        for simulator in (
            simulate(fault_rate=0.5, seed=3),
            simulate(fault_rate=0.5, seed=3, latency=1, latency_sigma=0.5),
            simulate(fault_rate=0.5, seed=4),
        )
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("kind", ["500", "503"])
def test_a_server_error_states_the_limits(simulate, kind):
    """It was admitted and charged, so its headers go on counting."""
    simulator = simulate(fault_rate=1.0, rpm=1000)
    for _ in range(200):
        try:
            response = simulator.chat()
        except ConnectionResetError:
            continue
        if response.status_code == int(kind):
            break
    error = response.json()["error"]
    assert error["type"] == {"500": "server_error", "503": "service_unavailable_error"}[kind]
    assert int(response.headers["x-ratelimit-remaining-requests"]) < 1000


def test_the_latency_is_constant_without_a_sigma(simulate):
    """Each answer takes its median, counted from the arrival."""
    simulator = simulate(latency=0.25)
    response = simulator.chat()
    assert simulator.time.slept == [0.25]
    assert response.headers["openai-processing-ms"] == "250"


def test_the_latency_is_log_normal_with_a_sigma(simulate):
    """Its median is the one given; most of it lies within a factor of e to the sigma."""
    simulator = simulate(latency=2, latency_sigma=0.5)
    for _ in range(400):
        simulator.chat()
    slept = simulator.time.slept
    assert statistics.median(slept) == pytest.approx(2, rel=0.15)
    assert 0.6 < sum(2 / 1.65 < seconds < 2 * 1.65 for seconds in slept) / 400 < 0.76


def test_requests_in_flight_are_counted(simulate):
    """The highest number at once is what a benchmark wants to know of its client."""
    simulator = simulate(latency=1)

    async def send():
        async with simulator.client() as client:
            body = {"model": "text-embedding-3-small", "input": "abcd"}
            headers = {"authorization": "Bearer sk-test"}
            await asyncio.gather(
                *(client.post("/v1/embeddings", json=body, headers=headers) for _ in range(7))
            )

    asyncio.run(send())
    counters = simulator.counters()
    assert (counters["max_in_flight"], counters["in_flight"]) == (7, 0)


def test_counters_add_up_what_was_answered(simulate):
    """Requests by endpoint, tokens as `usage` states them, and inputs."""
    simulator = simulate(rpm=2)
    usage = simulator.chat("Hello there.").json()["usage"]
    simulator.embed(["abcd", "efgh"])
    simulator.moderate(["abcd", "efgh", "ijkl"])
    simulator.chat()
    simulator.chat()
    counters = simulator.counters()
    assert counters["requests"] == 5
    assert counters["answered"] == 4
    assert counters["rate_limited"] == 1
    assert counters["inputs"] == 5
    assert counters["input_tokens"] == 2 * usage["prompt_tokens"] + 2 + 3
    assert counters["output_tokens"] == 2 * usage["completion_tokens"]
    assert counters["by_endpoint"] == {"chat/completions": 3, "embeddings": 1, "moderations": 1}


def test_a_reset_zeroes_the_counters_but_fills_no_bucket(simulate):
    """Limits go on as if nothing had happened."""
    simulator = simulate(rpm=1)
    simulator.chat()
    assert simulator.request("POST", "/simulator/reset", key=None).json()["requests"] == 0
    assert simulator.chat().status_code == 429
    assert simulator.counters()["requests"] == 1
