"""What came and is no HTTP, and the words for it: the official client's, which show the line and the place in it."""

from __future__ import annotations

from bisect import bisect_left

import httptools

_MOST_SEARCHED = 2**16
_SHOWN = 100


class MalformedAnswerError(Exception):
    """What came is no HTTP; the message says where it is not. `in_body` where the headers had come before."""

    def __init__(self, message: str, *, in_body: bool = False) -> None:
        super().__init__(message)
        self.in_body = in_body


def response_parser(callbacks: object) -> httptools.HttpResponseParser:
    """A parser that takes what the official client's takes."""
    parser = httptools.HttpResponseParser(callbacks)
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


def too_long(line: bytes, most: int) -> str:
    """The words for a line of an answer's head that is longer than `most` bytes."""
    return f"Got more than {most} bytes when reading: {line[:_SHOWN] + b'...'!r}."


def words(reason: str, answer: bytes) -> str:
    """The words for an answer from its first byte on, of which the parser gave a reason."""
    if len(answer) > _MOST_SEARCHED or not _is_broken(answer, len(answer)):
        return reason
    place = bisect_left(range(len(answer)), True, key=lambda end: _is_broken(answer, end + 1))
    before = answer[:place].rsplit(b"\r\n", 1)
    line = before[-1] + answer[place:].split(b"\r\n", 1)[0]
    start = "Bad status line:\n  " if len(before) == 1 else ""
    pointer = " " * (len(repr(before[-1])) - 1) + "^"
    return f"{start}{reason}:\n\n  {line!r}\n  {pointer}"


def _is_broken(answer: bytes, end: int) -> bool:
    try:
        response_parser(None).feed_data(answer[:end])
    except httptools.HttpParserError:
        return True
    except httptools.HttpParserUpgrade:
        return False
    return False
