"""What an error of a connection is said to mean, where nothing was ever reached."""

import pytest

from pxt_assets.api.failure import Failure
from pxt_assets.api.unreached import is_untrusted, short_cause, unreached
from pxt_assets.api.wire import ApiUrl

HTTP = ApiUrl("http", "llama.lan", 8000, "/v1/")
HTTPS = ApiUrl("https", "llama.lan", None, "/v1/")
VERIFY = "[SSLCertVerificationError: (1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1006)')]"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def no_connection(why: str, to: str = "llama.lan:8000") -> str:
    return f"Request timed out. (ConnectTimeout: Cannot connect to host {to} ssl:default [{why}])"


@pytest.mark.parametrize(
    ("url", "message", "cause", "advised"),
    [
        (HTTP, no_connection("Connect call failed ('10.0.0.1', 8000)"), "nothing takes connections", "the server runs"),
        (
            HTTP,
            no_connection("Multiple exceptions: [Errno 111] Connect call failed ('::1', 8000, 0, 0), [Errno 111] ..."),
            "nothing takes connections at llama.lan:8000",
            "the server runs",
        ),
        (HTTP, no_connection("Name or service not known"), "the name llama.lan cannot be", "DNS"),
        (HTTP, no_connection("Temporary failure in name resolution"), "the name llama.lan cannot be", "DNS"),
        (HTTP, no_connection("nodename nor servname provided, or not known"), "the name llama.lan cannot", "DNS"),
        (HTTP, "Request timed out. (ConnectTimeout: Server disconnected)", "no answer in HTTP", "https:// in place of"),
        (HTTP, "400, message='Bad status line', url='http://llama.lan/'", "no answer in HTTP", "https:// in place of"),
        (
            HTTPS,
            no_connection("SSLError: (1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')", "llama.lan:443"),
            "llama.lan:443 speaks no TLS",
            "http:// in place of",
        ),
        (HTTPS, no_connection(VERIFY.format("self-signed certificate"), "llama.lan:443"), "not trusted", "SSL_CERT_FILE"),
        (HTTPS, no_connection(VERIFY.format("unable to get local issuer certificate")), "not trusted", "SSL_CERT_FILE"),
        (HTTPS, no_connection(VERIFY.format("certificate has expired")), "not valid now", "clock"),
        (
            HTTPS,
            no_connection(VERIFY.format("Hostname mismatch, certificate is not valid for 'llama.lan'.")),
            "another name than llama.lan",
            "base_url",
        ),
        (HTTP, "Connection timeout to host http://llama.lan:8000/v1/", "in time", "proxy settings"),
        (HTTPS, "Request timed out. (ConnectTimeout: Server disconnected)", None, "Check base_url"),
    ],
)  # fmt: skip
def test_what_an_error_shows_is_named(url: ApiUrl, message: str, cause: str | None, advised: str) -> None:
    """The cause in words, and what to do about that one."""
    found = unreached(message, url)
    assert cause in found.cause if cause is not None and found.cause is not None else found.cause is cause
    assert advised in found.advice


def test_a_file_of_certificates_that_lacks_the_authority_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has set the variable is not told to set it alone."""
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/other.pem")
    assert (
        "It is set, but" in unreached(no_connection(VERIFY.format("self-signed certificate")), HTTPS).advice
    )


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_down_is_named_by_its_variable(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password is not shown, and the server is not blamed."""
    monkeypatch.setenv(variable, "http://user:s3cr3t-w0rd@proxy.lan:3128")
    message = no_connection("Connect call failed ('10.0.0.9', 3128)", "proxy.lan:3128")
    said = str(unreached(message, HTTP))
    assert said.startswith(
        f"Requests go through the proxy that {variable} names, and nothing takes connections at proxy.lan:3128. "
    )
    assert "llama.lan in NO_PROXY" in said
    assert "s3cr3t" not in said


def test_a_proxy_that_may_be_at_fault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the error names neither it nor the server."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.lan:3128")
    found = unreached("Request timed out. (ConnectTimeout: Server disconnected)", HTTP)
    assert found.cause is None
    assert "the proxy that HTTP_PROXY names" in found.advice


@pytest.mark.parametrize(("variable", "value"), [("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", "llama.lan")])
def test_a_proxy_of_other_urls_is_not_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the other scheme, or one from which the host is excepted."""
    if variable == "NO_PROXY":
        monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.setenv(variable, value)
    assert "the proxy that" not in str(
        unreached("Request timed out. (ConnectTimeout: Server disconnected)", HTTP)
    )


def test_the_runs_error_quotes_the_failure_and_ends_with_the_advice() -> None:
    """The class and its words stay those of the official client."""
    failure = Failure("APITimeoutError", no_connection("Connect call failed ('10.0.0.1', 8000)"))
    said = str(failure.unreachable_error("http://llama.lan:8000/v1/", HTTP))
    assert said.startswith(
        "cannot reach the API at http://llama.lan:8000/v1/: APITimeoutError: Request timed out. (ConnectTimeout: "
    )
    assert "). Nothing takes connections at llama.lan:8000. Check base_url of the OpenAIResource" in said


def test_a_line_of_progress_has_the_cause_or_the_cut_message() -> None:
    """A server's page is not repeated every ten seconds."""
    assert (
        short_cause(no_connection("Name or service not known"), HTTP)
        == "the name llama.lan cannot be resolved"
    )
    assert len(short_cause("x" * 2_000, HTTPS)) == 201


def test_only_certificates_are_past_waiting_for() -> None:
    """A refused connection may be a server that starts."""
    assert is_untrusted(no_connection(VERIFY.format("self-signed certificate")))
    assert not is_untrusted(no_connection("Connect call failed ('10.0.0.1', 8000)"))
