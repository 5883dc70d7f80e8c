"""What the three endpoints have in common: a parsed call, its charge, and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


def estimate_tokens(characters: int) -> int:
    """Tokens of a text of that many characters, the API's own estimate: a quarter, rounded up."""
    return (characters + 3) // 4


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200: the JSON body, and what the counters add up."""

    body: bytes
    input_tokens: int
    output_tokens: int = 0
    inputs: int = 0


class Call(Protocol):
    """A request that has passed the checks of its endpoint."""

    @property
    def model(self) -> str:
        """The model asked for, as the request names it."""

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged at arrival."""

    def answer(self, digest: str) -> Answer:
        """The answer; `digest` names the request, and the answer's id is made from it."""


Endpoint = Callable[[dict[str, Any]], Call]
"""Reads a body; raises `SimulatedError` for one that the API would refuse."""
