"""What all endpoints have in common: an endpoint, a parsed call, its charge, and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

JSON = "application/json"
FORM = "multipart/form-data"

CREATED = 1_767_225_600
"""Unix time of every answer: a fixed one, so that equal requests have equal answers."""

MARK = "[simulated] "
"""The start of every reply in text."""

ROOT_PLACEHOLDER = "http://simulator.invalid"
"""Placeholder, in an answer that has files, for the root of the URL to which its request was sent."""


def estimate_tokens(characters: int) -> int:
    """Tokens of a text of that many characters, the API's own estimate: a quarter, rounded up."""
    return (characters + 3) // 4


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form, or one that an answer points to."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200: its body, and the numbers that the counters add up."""

    body: bytes
    input_tokens: int
    output_tokens: int = 0
    inputs: int = 0
    content_type: str = JSON
    files: tuple[Upload, ...] = ()
    """Served for an hour at `ROOT_PLACEHOLDER`/simulator/files/<filename>, to which the body points."""


class Call(Protocol):
    """A request that has passed the checks of its endpoint."""

    @property
    def model(self) -> str:
        """The model asked for, as the request names it."""

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged at arrival."""

    def answer(self, digest: str) -> Answer:
        """The answer; `digest` names the request, and the answer's id is made from it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How requests to one path are read, limited and answered."""

    read: Callable[[dict[str, Any]], Call]
    """Reads a body; raises `SimulatedError` for one that the API would refuse.

    Of a form, a text field is a string, a file an `Upload`, and `name[]` or a repeated field a list at `name`.
    """

    content_types: tuple[str, ...] = (JSON,)
    """The content types of the bodies it takes: `JSON`, `FORM`."""

    announced_limits: tuple[str, ...] = ()
    """The limits that its answers state in headers: "requests", "tokens"."""

    in_thread: bool = False
    """Whether reading and answering take so long (from a few ms) that other requests must not wait for it."""
