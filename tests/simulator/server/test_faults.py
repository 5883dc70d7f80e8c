import math
import statistics

import pytest


def outcomes(simulator, count=60):
    """What becomes of that many requests: a status, "dropped", or "slow"."""
    seen = []
    for _ in range(count):
        slept = len(simulator.time.slept)
        try:
            status = simulator.chat().status_code
        except ConnectionResetError:
            status = "dropped"
        seen.append("slow" if status == 200 and len(simulator.time.slept) > slept else status)
    return seen


def test_without_a_fault_rate_there_are_no_faults(simulator):
    """Every request is answered, at once."""
    assert set(outcomes(simulator)) == {200}


def test_faults_are_of_every_kind(simulate):
    """500 and 503, dropped connections and slow answers; with a rate of 1, nothing else."""
    assert set(outcomes(simulate(fault_rate=1))) == {500, 503, "dropped", "slow"}


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_faults_come_at_their_rate(simulate, rate):
    """Within four standard deviations."""
    faults = 400 - outcomes(simulate(fault_rate=rate), 400).count(200)
    assert math.isclose(faults, 400 * rate, abs_tol=4 * math.sqrt(400 * rate * (1 - rate)))


def test_faults_follow_the_seed(simulate):
    """The same seed gives the same faults to the same requests, another seed others."""
    first, again, other = (outcomes(simulate(fault_rate=0.5, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_latencies_do_not_move_the_faults(simulate):
    """A rehearsal with another latency meets its faults at the same requests."""
    still = simulate(fault_rate=0.5)
    hasty = simulate(fault_rate=0.5, latency=0.1, latency_sigma=0.5)
    assert [fault in (500, 503, "dropped") for fault in outcomes(still)] == [
        fault in (500, 503, "dropped") for fault in outcomes(hasty)
    ]


def test_faults_are_counted_by_kind(simulate):
    """As many as there were; slow ones are answers too, and none is a client's error."""
    simulator = simulate(fault_rate=1)
    seen = outcomes(simulator)
    counters = simulator.counters()
    assert counters["faults"] == {
        "500": seen.count(500),
        "503": seen.count(503),
        "dropped": seen.count("dropped"),
        "slow": seen.count("slow"),
    }
    assert counters["answered"] == seen.count("slow")
    assert counters["client_errors"] == counters["in_flight"] == 0


def test_a_server_error_has_the_apis_shape_and_states_the_limits(simulate):
    """It was charged, and says that it is a fault of the simulator."""
    simulator = simulate(fault_rate=1, rpm=1000)
    response = None
    while response is None or response.status_code == 200:
        try:
            response = simulator.chat()
        except ConnectionResetError:
            continue
    assert response.json()["error"]["type"] in ("server_error", "service_unavailable_error")
    assert "fault of the simulator" in response.json()["error"]["message"]
    assert response.headers["x-pxt-simulated"] == "true"
    assert int(response.headers["x-ratelimit-remaining-requests"]) < 1000


def test_a_slow_answer_takes_the_seconds_asked_for_on_top(simulate):
    """Beyond its latency."""
    simulator = simulate(fault_rate=1, latency=2, slow_seconds=30)
    outcomes(simulator)
    assert set(simulator.time.slept) == {2, 32}


def test_refused_requests_draw_no_fault(simulate):
    """Nor do those that meet a limit: what is malformed is told so at once, every time."""
    simulator = simulate(fault_rate=1, rpm=1)
    assert {simulator.chat(temperature=9).status_code for _ in range(20)} == {400}
    outcomes(simulator, 1)
    assert set(outcomes(simulator, 20)) == {429}


def test_an_answer_takes_its_latency(simulate):
    """From arrival to answer, the same for each where there is no spread."""
    simulator = simulate(latency=1.5)
    simulator.chat()
    simulator.embed("a")
    simulator.moderate("a")
    assert simulator.time.slept == [1.5] * 3


def test_latencies_spread_about_their_median(simulate):
    """Log-normally: none is negative, and the spread of their logarithms is sigma."""
    simulator = simulate(latency=2, latency_sigma=0.5)
    outcomes(simulator, 400)
    logarithms = [math.log(seconds / 2) for seconds in simulator.time.slept]
    assert statistics.fmean(logarithms) == pytest.approx(0, abs=0.1)
    assert statistics.stdev(logarithms) == pytest.approx(0.5, abs=0.08)


def test_latencies_follow_the_seed(simulate):
    """The same seed gives the same latencies."""
    slept = []
    for seed in (1, 1, 2):
        simulator = simulate(latency=1, latency_sigma=1, seed=seed)
        outcomes(simulator, 5)
        slept.append(simulator.time.slept)
    # Sums of a clock: equal up to rounding.
    assert slept[0] == pytest.approx(slept[1])
    assert slept[0] != pytest.approx(slept[2])


def test_the_processing_time_is_stated(simulate):
    """In milliseconds, of the answer's whole latency."""
    assert simulate(latency=1.25).chat().headers["openai-processing-ms"] == "1250"
