import signal
import socket
import subprocess
import sys
import threading

import httpx2
import openai
import pytest

from pxt_assets.simulator import SimulatorOptions, SimulatorServer, serve


def test_a_server_answers_on_a_loopback_port_until_it_is_stopped():
    """It accepts at once, answers a real client, and leaves neither thread nor listener behind."""
    before = set(threading.enumerate())
    with SimulatorServer(SimulatorOptions()) as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        with openai.OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as client:
            completion = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello there."}]
            )
        port = int(server.base_url.split(":")[2].split("/")[0])
    assert completion.choices[0].message.content == "[simulated] Hello there."
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_dropped_connection_and_an_answer_under_way_end_quietly(capfd):
    """The client sees a broken connection; stopping does not wait for slow answers; nobody's log fills up."""
    options = SimulatorOptions(fault_rate=1.0, slow_seconds=60)
    body = {"model": "text-embedding-3-small", "input": "abcd"}
    seen = set()
    with (
        SimulatorServer(options) as server,
        httpx2.Client(headers={"authorization": "Bearer sk-test"}, timeout=0.2) as client,
    ):
        for _ in range(40):
            try:
                seen.add(client.post(f"{server.base_url}/embeddings", json=body).status_code)
            except httpx2.TransportError as exc:
                seen.add(type(exc))
            if seen >= {httpx2.RemoteProtocolError, httpx2.ReadTimeout, 500, 503}:
                break
    assert seen == {httpx2.RemoteProtocolError, httpx2.ReadTimeout, 500, 503}
    assert capfd.readouterr().err == ""


def test_a_stopped_server_starts_again():
    """On the same port, with empty counters."""
    server = SimulatorServer(SimulatorOptions())
    for _ in range(2):
        with server:
            url = f"{server.root_url}/simulator/counters"
            assert httpx2.get(url).json()["requests"] == 0
    server.stop()


def test_a_server_that_does_not_run_has_no_url():
    """It has no port yet."""
    with pytest.raises(RuntimeError, match="call start"):
        _ = SimulatorServer(SimulatorOptions()).base_url


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "::", "example.com", ""])
def test_no_address_beyond_this_machine_is_bound(host):
    """It has no access control, so it stays on the loopback interface."""
    with pytest.raises(ValueError, match="loopback"):
        SimulatorServer(SimulatorOptions(), host=host)
    with pytest.raises(ValueError, match="loopback"):
        serve(SimulatorOptions(), 0, host=host)


def test_a_port_that_is_taken_is_an_error():
    """Raised where the server is started, not logged by a thread."""
    with SimulatorServer(SimulatorOptions()) as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            SimulatorServer(SimulatorOptions(), port).start()


def test_a_foreground_server_announces_itself_and_ends_at_ctrl_c():
    """One line with the URL, and neither traceback nor error code."""
    code = (
        "from functools import partial; from pxt_assets.simulator import SimulatorOptions, serve; "
        "serve(SimulatorOptions(), 0, partial(print, flush=True)); print('ended')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=20)
    assert (printed.strip(), errors, process.returncode) == ("ended", "", 0)
