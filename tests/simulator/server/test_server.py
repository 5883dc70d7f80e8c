"""The simulator on a real loopback port."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from urllib.request import Request, urlopen

import openai
import pytest

from pxt_assets.simulator import SimulatorOptions, SimulatorServer, serve

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello there."}]}


def post(base_url, path="/chat/completions", body=BODY):
    headers = {"authorization": "Bearer sk-test", "content-type": "application/json"}
    request = Request(base_url + path, json.dumps(body).encode(), headers)
    with urlopen(request, timeout=30) as answer:
        return json.load(answer), answer.headers


def server_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pxt-simulator")]


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    """A server without limits, latency and faults."""
    with SimulatorServer(SimulatorOptions()) as server:
        yield server


@pytest.fixture(scope="module")
def faulty() -> Iterator[SimulatorServer]:
    """A server of which every answer meets a fault, none of them slow."""
    with SimulatorServer(SimulatorOptions(fault_rate=1, slow_seconds=0)) as server:
        yield server


def test_a_server_answers_on_its_port():
    """From entering the context to leaving it; then nothing listens, and its thread is gone."""
    others = {*server_threads()}
    with SimulatorServer(SimulatorOptions()) as server:
        answer, headers = post(server.base_url)
        assert answer["choices"][0]["message"]["content"] == "[simulated] Hello there."
        assert headers["x-pxt-simulated"] == "true"
        assert "server" not in headers
        port = int(server.root_url.rpartition(":")[2])
    assert not {*server_threads()} - others
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_server_may_start_again():
    """On the same port and from scratch; stopping it twice does nothing."""
    server = SimulatorServer(SimulatorOptions()).start()
    try:
        url = server.base_url
        post(url)
    finally:
        server.stop()
        server.stop()
    with server:
        assert server.base_url == url
        with urlopen(f"{server.root_url}/simulator/counters", timeout=30) as counters:
            assert json.load(counters)["requests"] == 0


def test_a_running_server_does_not_start_twice(server):
    """The message says where it runs."""
    with pytest.raises(RuntimeError, match=f"already running at {server.base_url}"):
        server.start()


def test_a_server_that_does_not_run_has_no_address():
    """The message says how to start it."""
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        _ = SimulatorServer(SimulatorOptions()).base_url


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", "example.com", ""])
def test_a_server_is_never_open_to_others(host):
    """It has no access control; names are refused too, since they may lead anywhere."""
    with pytest.raises(ValueError, match="loopback address only"):
        SimulatorServer(SimulatorOptions(), host=host)
    with pytest.raises(ValueError, match="loopback address only"):
        serve(SimulatorOptions(), 0, host=host)


def test_a_taken_port_is_an_error_at_once(server):
    """Before a thread starts, and again once the port is asked for anew."""
    others = {*server_threads()}
    port = int(server.root_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        SimulatorServer(SimulatorOptions(), port).start()
    with pytest.raises(OSError, match="in use"):
        serve(SimulatorOptions(), port)
    assert not {*server_threads()} - others


def test_servers_do_not_share_their_state():
    """Two in one process have limits and counters of their own."""
    with (
        SimulatorServer(SimulatorOptions(rpm=100)) as first,
        SimulatorServer(SimulatorOptions(rpm=100)) as second,
    ):
        for server in (first, second):
            assert post(server.base_url)[1]["x-ratelimit-remaining-requests"] == "99"


def test_another_loopback_address_may_be_asked_for():
    """All of 127.0.0.0/8 is this machine."""
    with SimulatorServer(SimulatorOptions(), host="127.0.0.2") as server:
        assert server.base_url.startswith("http://127.0.0.2:")
        post(server.base_url)


def test_an_ipv6_address_is_written_in_brackets():
    """As URLs demand."""
    try:
        server = SimulatorServer(SimulatorOptions(), host="::1").start()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    try:
        assert server.base_url.startswith("http://[::1]:")
        post(server.base_url)
    finally:
        server.stop()


@pytest.mark.parametrize("http_client", [openai.DefaultAsyncHttpxClient, openai.DefaultAioHttpClient])
def test_the_client_meets_every_fault(faulty, http_client, caplog):
    """Server errors and broken connections as its exceptions; the server's log says nothing about them."""

    async def outcomes():
        met = set()
        async with openai.AsyncOpenAI(
            base_url=faulty.base_url, api_key="sk-test", max_retries=0, http_client=http_client()
        ) as client:
            for _ in range(40):
                try:
                    await client.chat.completions.create(**BODY)
                    met.add("slow")
                except openai.APIStatusError as exc:
                    met.add(exc.status_code)
                except openai.APIConnectionError:
                    met.add("dropped")
        return met

    assert asyncio.run(outcomes()) == {500, 503, "dropped", "slow"}
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_a_server_that_stops_breaks_off_the_answers_under_way(monkeypatch):
    """However long these would still sleep; the client meets a broken connection, not an answer."""
    monkeypatch.setattr("pxt_assets.simulator.server.server._GRACE_SECONDS", 0.05)
    failed = []

    def ask():
        try:
            post(server.base_url)
        except (OSError, HTTPException) as exc:
            failed.append(exc)

    with SimulatorServer(SimulatorOptions(latency=3600)) as server:
        asking = threading.Thread(target=ask)
        asking.start()
        in_flight = 0
        while not in_flight:
            with urlopen(f"{server.root_url}/simulator/counters", timeout=30) as counters:
                in_flight = json.load(counters)["in_flight"]
    asking.join()
    assert [type(exc) for exc in failed] == [IncompleteRead]


def test_hundreds_of_connections_open_at_once(server):
    """None is turned away."""

    async def burst():
        async with openai.AsyncOpenAI(
            base_url=server.base_url,
            api_key="sk-test",
            max_retries=0,
            timeout=120,  # to connect, too, on a machine where much else runs
            http_client=openai.DefaultAioHttpClient(),
        ) as client:
            return await asyncio.gather(*(client.chat.completions.create(**BODY) for _ in range(300)))

    assert len(asyncio.run(burst())) == 300


def test_serving_in_the_foreground_ends_with_ctrl_c():
    """One line says where it serves; there is no traceback, and the exit code is 0."""
    program = "from pxt_assets.simulator import *; serve(SimulatorOptions(), 0, lambda line: print(line, flush=True))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/v1", line)[0]
        post(url)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", "")
