"""Which server a base URL names, and which answers are another's."""

import pytest

from pxt_assets.api.server_name import SIMULATOR, AskedServer, asked_server, counts_by_host, server_name

API = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1/",
        "https://API.OpenAI.com/v1",
        "HTTPS://api.openai.com:443/v1",
        "https://api.openai.com//v1//",
        "https://api.openai.com./v1",
        "https://user:secret@api.openai.com/v1?key=secret#there",
    ],
)
def test_ways_of_writing_a_url_are_one_server(base_url):
    """Capitals, the usual port, slashes; no user, no query."""
    assert server_name(base_url) == API


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:80/v1", "http://[::1]/v1"),
        ("http://localhost", "http://localhost"),
        ("http://gateway:99999999/v1", "http://gateway/v1"),
    ],
)
def test_hosts_and_ports(base_url, name):
    """Addresses too; a port that is none does no harm."""
    assert server_name(base_url) == name


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("http://gateway/v1", "https://gateway/v1", False),
        ("http://gateway:80/v1", "https://gateway:443/v1", False),
        ("http://gateway:8080/v1", "http://gateway/v1", True),
        ("https://gateway/v1", "https://gateway/openai/v1", True),
        ("https://gateway/v1", "https://other/v1", True),
    ],
)
def test_another_server_is_another_host_port_or_path(one, other, differ):
    """Not one with TLS before it."""
    assert AskedServer(server_name(one)).is_other(server_name(other)) is differ


@pytest.mark.parametrize(
    ("asked", "name"), [(API, SIMULATOR), (SIMULATOR, API), (API, None), (SIMULATOR, SIMULATOR)]
)
def test_simulators_and_unknown_servers_are_never_others(asked, name):
    """Simulated answers are marked; of what earlier versions stored nobody knows the server."""
    assert not AskedServer(asked).is_other(name)


@pytest.mark.parametrize(
    ("base_url", "azure", "environment", "name"),
    [
        (None, False, {}, API),
        (None, False, {"OPENAI_BASE_URL": "http://gateway/v1"}, "http://gateway/v1"),
        ("http://mine/v1", False, {"OPENAI_BASE_URL": "http://gateway/v1"}, "http://mine/v1"),
        (None, True, {"AZURE_OPENAI_ENDPOINT": "https://a.example/"}, "https://a.example/openai"),
    ],
)
def test_without_a_base_url_it_is_the_clients_own(base_url, azure, environment, name, monkeypatch):
    """Which reads the environment."""
    for variable in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert asked_server(base_url, "fail", simulated=False, azure=azure) == AskedServer(name, "fail")


def test_counts_are_by_host():
    """With the path where one host has several."""
    counts = {
        API: 2,
        "http://api.openai.com/v1": 1,
        "http://gw:8/a": 1,
        "http://gw:8/b": 5,
        "unknown": 3,
        SIMULATOR: 4,
    }
    assert counts_by_host(counts) == {
        "gw:8/b": 5,
        "simulator": 4,
        "api.openai.com": 3,
        "unknown": 3,
        "gw:8/a": 1,
    }
