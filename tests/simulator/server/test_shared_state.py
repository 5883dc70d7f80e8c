"""Simulators of several processes that share their limits by a file; here each is one in this process."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pxt_assets.simulator import SimulatorOptions, create_app
from pxt_assets.simulator.server.bucket import Bucket
from pxt_assets.simulator.server.shared_state import FILE, SharedState
from tests.simulator.conftest import FakeTime, InProcess

Start = Callable[..., InProcess]


class Shared(InProcess):
    """A simulator that shares its state, with a clock of its own; `wall` is what all have in common."""

    def __init__(self, folder: Path, wall: FakeTime, **options: object) -> None:
        chosen = SimulatorOptions(**options)  # type: ignore[arg-type]
        super().__init__(chosen)
        self.state = SharedState(folder, chosen.shown, wall=wall.clock)
        self.start = self.state.start()
        self.time.now = 7.0 * (1 + self.start.number)  # clocks of processes have nothing in common
        self.app = create_app(
            chosen,
            clock=self.time.clock,
            sleep=self.time.sleep,
            shared=self.state,
            process=self.start.number,
        )

    def left(self, **arguments: object) -> str:
        return self.chat(**arguments).headers["x-ratelimit-remaining-requests"]  # type: ignore[arg-type]


@pytest.fixture
def wall() -> FakeTime:
    return FakeTime()


@pytest.fixture
def process(tmp_path: Path, wall: FakeTime) -> Iterator[Start]:
    """Starts the simulator of one more process."""
    started: list[Shared] = []

    def start(**options: object) -> Shared:
        started.append(Shared(tmp_path, wall, **options))
        return started[-1]

    yield start
    for one in started:
        one.state.close()


def test_processes_draw_on_the_same_limit(process: Start) -> None:
    """What one takes, the other does not get."""
    one, other = process(rpm=3), process(rpm=3)
    assert [one.left(), other.left(), one.left()] == ["2", "1", "0"]
    assert other.chat().status_code == 429
    assert one.chat().status_code == 429
    assert one.left(model="gpt-4o") == "2"


def test_the_limit_refills_by_the_clock_that_all_have(process: Start, wall: FakeTime) -> None:
    """Whichever process looks."""
    one, other = process(rpm=60, initial_level=0.0), process(rpm=60, initial_level=0.0)
    assert one.chat().status_code == 429
    wall.now += 2
    assert other.left() == "1"
    assert one.left() == "0"


def test_a_clock_that_is_set_back_costs_no_refill_for_ever(process: Start, wall: FakeTime) -> None:
    """From then on it refills again."""
    one = process(rpm=60, initial_level=0.0)
    assert one.chat().status_code == 429
    wall.now -= 5_000
    one.time.now += 10
    assert one.chat().status_code == 429
    wall.now += 1
    one.time.now += 1
    assert one.chat().status_code == 200


def test_simulators_of_other_options_share_nothing(process: Start) -> None:
    """Their options tell them apart."""
    one, other = process(rpm=3), process(rpm=3, seed=1)
    assert [one.left(), other.left()] == ["2", "2"]


def test_a_later_process_goes_on_where_the_last_one_was(process: Start, wall: FakeTime) -> None:
    """Until nobody has used the simulator for a day; then it begins anew."""
    options = {"rpm": 60, "initial_level": 0.1}
    first = process(**options)
    assert first.left() == "5"
    first.state.close()
    assert process(**options).left() == "4"
    wall.now += 86_401
    assert process(**options).left() == "5"


def test_processes_meet_other_faults_and_name_their_answers_otherwise(process: Start) -> None:
    """Else each process's first request would meet the same fault as all others' first ones."""
    options = {"latency": 1.0, "latency_sigma": 0.5}
    one, other = process(**options), process(**options)
    for each in (one, other):
        assert each.chat().status_code == 200
    assert one.time.slept != other.time.slept
    ids = {process.get("/v1/models").headers["x-request-id"] for process in (one, other)}
    assert len(ids) == 2
    assert (one.start.number, other.start.number) == (0, 1)
    assert one.start.state_id == other.start.state_id != ""


def test_an_answer_is_continued_in_another_process(process: Start) -> None:
    """As with one server, whether there are limits or not; of another key, or other options, it is not known."""
    one, other, stranger = process(), process(), process(seed=1)
    path, body = "/v1/responses", {"model": "gpt-6-luna", "input": "My order is 4711."}
    first = one.post(path, body).json()
    follow_up = {**body, "input": "Where is it?", "previous_response_id": first["id"]}
    alone = one.post(path, {**body, "input": "Where is it?"}).json()
    continued = other.post(path, follow_up)
    assert continued.status_code == 200
    assert continued.json()["usage"]["input_tokens"] > alone["usage"]["input_tokens"]
    assert continued.json()["usage"] == one.post(path, follow_up).json()["usage"]
    for refused in (stranger.post(path, follow_up), other.post(path, follow_up, key="sk-other")):
        assert refused.json()["error"]["code"] == "previous_response_not_found"


def test_a_call_is_answered_in_another_process(process: Start) -> None:
    """What is known of an answer's calls goes with it."""
    one, other = process(), process()
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    body = {"model": "gpt-6-luna", "input": "x", "tools": [tool], "tool_choice": "required"}
    first = one.post("/v1/responses", body).json()
    call = first["output"][0]["call_id"]
    output = [{"type": "function_call_output", "call_id": call, "output": "done"}]
    after = {"model": "gpt-6-luna", "input": output, "previous_response_id": first["id"]}
    assert other.post("/v1/responses", after).status_code == 200


def test_a_killed_process_leaves_the_limit_to_others(process: Start, tmp_path: Path) -> None:
    """What it had not committed was never taken; while it commits, nobody else does."""
    one = process(rpm=3)
    assert one.left() == "2"
    killed = sqlite3.connect(tmp_path / FILE, timeout=0, isolation_level=None)
    with one.state.levels_of({"x": Bucket(3, level=1, now=0)}, 0), pytest.raises(sqlite3.OperationalError):
        killed.execute("BEGIN IMMEDIATE")
    killed.execute("BEGIN IMMEDIATE")
    killed.execute("UPDATE buckets SET level = 0")
    killed.close()
    assert process(rpm=3).left() == "1"


def test_a_file_that_is_no_database_is_made_anew(process: Start, tmp_path: Path) -> None:
    """There is nothing in it that would be missed."""
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    one, other = process(rpm=3), process(rpm=3)
    assert [one.left(), other.left()] == ["2", "1"]


def test_where_the_file_cannot_be_used_each_process_has_the_limit(
    wall: FakeTime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and costs no answer."""
    with caplog.at_level(logging.WARNING):
        one = Shared(tmp_path / "nowhere", wall, rpm=3)
    assert "not shared with other processes" in caplog.text
    assert one.start.state_id == ""
    assert [one.left(), one.left()] == ["2", "1"]


def test_a_file_that_breaks_in_mid_run_costs_no_answer(
    process: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """From then on the limits are those of this process, as they were last."""
    one = process(rpm=3)
    assert one.left() == "2"
    assert one.state._connection is not None
    one.state._connection.execute("DROP TABLE buckets")
    with caplog.at_level(logging.WARNING):
        assert [one.left(), one.left()] == ["1", "0"]
    assert caplog.text.count("not shared with other processes") == 1
    assert one.chat().status_code == 429
