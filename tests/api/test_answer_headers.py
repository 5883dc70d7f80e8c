"""Headers of answers, read by their places where their names repeat."""

import random

import httpx2
import pytest

from pxt_assets.api.answer_headers import AnswerHeaders

USED = [
    (b"x-ratelimit-limit-requests", b"500"),
    (b"X-RateLimit-Remaining-Requests", b"499"),
    (b"retry-after", b"2"),
    (b"Retry-After-Ms", b"2000"),
    (b"anthropic-ratelimit-tokens-limit", b"80000"),
    (b"RateLimit", b'"default";r=50;t=30'),
    (b"x-request-id", b"req_1"),
]
OTHER = [
    (b"date", b"Mon, 30 Nov 2026 12:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"openai-processing-ms", b"12"),
    (b"set-cookie", b"a=b"),
]


def expected(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    names = {name.lower() for name, _ in USED}
    return {name.decode().lower(): value.decode() for name, value in pairs if name.lower() in names}


def test_those_that_are_used_are_given_by_lower_case_name() -> None:
    assert AnswerHeaders().read([*OTHER, *USED]) == expected(USED)


def test_names_in_another_order_or_number_are_another_layout() -> None:
    """Whatever a server sends after what it sent before, each value is that of its own name."""
    source, headers = random.Random(1), AnswerHeaders()
    for number in range(300):
        pairs = source.sample([*OTHER, *USED], source.randint(0, len(OTHER) + len(USED)))
        pairs = [(name, b"%d" % (number * 100 + i)) for i, (name, _) in enumerate(pairs)]
        assert headers.read(pairs) == expected(pairs)


def test_the_last_of_several_with_one_name_counts() -> None:
    headers = AnswerHeaders()
    for last in (b"2", b"3"):
        assert headers.read([(b"retry-after", b"1"), (b"Retry-After", last)]) == {
            "retry-after": last.decode()
        }


@pytest.mark.parametrize(
    "form",
    [
        httpx2.Headers,
        lambda pairs: [(name.decode(), value.decode()) for name, value in pairs],
        lambda pairs: {name.decode(): value.decode() for name, value in pairs},
    ],
    ids=["the client's own", "pairs of texts", "a mapping"],
)
def test_headers_come_in_any_form(form) -> None:
    headers = AnswerHeaders()
    for _ in range(2):
        assert headers.read(form([*OTHER, *USED])) == expected(USED)


def test_a_request_id_that_is_stored_holds_no_secret() -> None:
    headers = AnswerHeaders(("sk-secret-4711",))
    for _ in range(2):
        assert headers.read([(b"x-request-id", b"of-sk-secret-4711")]) == {"x-request-id": "of-***"}


def test_a_long_request_id_is_cut() -> None:
    assert len(AnswerHeaders().read([(b"x-request-id", b"x" * 1_000)])["x-request-id"]) == 201


def test_new_names_with_each_answer_fill_no_memory() -> None:
    headers = AnswerHeaders()
    for number in range(1_000):
        assert headers.read([(b"x-%d" % number, b"1")]) == {f"x-{number}": "1"}
    assert len(headers._layouts) <= 64
