"""The counters of the simulator, for `GET /simulator/counters` and `GET /simulator/later`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("500", "503", "dropped", "slow")
"""The kinds of fault, as they are counted."""


@dataclass
class LaterCounters:
    """Totals of what is answered later, for `GET /simulator/later`."""

    files: int = 0
    """Files uploaded."""
    batches: int = 0
    """Batches created."""
    batch_polls: int = 0
    """How often a batch was looked at."""
    background_polls: int = 0
    """How often a response in the background was looked at."""


@dataclass
class Counters:
    """Totals since the start or the last reset; only POSTs to the API's endpoints count."""

    requests: int = 0
    answered: int = 0
    """Requests answered 200 in full; a dropped one is not among them."""
    rate_limited: int = 0
    client_errors: int = 0
    """Requests refused with 400, 401, 404, 413, or 429 for want of quota."""
    input_tokens: int = 0
    """Prompt tokens of the answered requests, as their `usage` states them."""
    output_tokens: int = 0
    inputs: int = 0
    """Texts embedded, inputs moderated, sounds made or heard."""
    in_flight: int = 0
    max_in_flight: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    by_endpoint: Counter[str] = field(default_factory=Counter)

    def count_arrival(self, endpoint: str) -> None:
        """Count a request that arrives; `count_departure` must follow."""
        self.requests += 1
        self.by_endpoint[endpoint] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def count_departure(self) -> None:
        """Count an arrived request out: it has been answered, or its client is gone."""
        self.in_flight -= 1

    def count_answer(self, *, input_tokens: int, output_tokens: int, inputs: int) -> None:
        """Count a 200."""
        self.answered += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.inputs += inputs

    def reset(self) -> None:
        """Set all totals to zero, except for the requests in flight."""
        vars(self).update(vars(Counters(in_flight=self.in_flight, max_in_flight=self.in_flight)))

    def as_dict(self) -> dict[str, Any]:
        """The totals as JSON-able values."""
        faults = {kind: self.faults[kind] for kind in FAULTS}
        return {**vars(self), "faults": faults, "by_endpoint": dict(self.by_endpoint)}
