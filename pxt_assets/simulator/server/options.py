"""The options of a simulator: limits, latency, faults, and how what is answered later fares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

UNLIMITED_REQUESTS = 10_000_000.0
"""Requests/minute that stand for "no limit": the API's highest tiers still send limits in their headers."""

UNLIMITED_TOKENS = 1_000_000_000.0
"""Tokens/minute that stand for "no limit"."""


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """The behaviour of one simulator. Raises ValueError for a value out of range."""

    rpm: float | None = None
    """Requests/minute of each key and model family; None for no limit."""

    tpm: float | None = None
    """Tokens/minute of each key and model family; None for no limit."""

    moderation_rpm: float | None = None
    """Requests/minute of the moderation models, which announce no limits; None for `rpm`."""

    latency: float = 0.0
    """Median seconds from a request's arrival to its answer."""

    latency_sigma: float = 0.0
    """Sigma of the log-normal distribution of the latency; 0 for a constant one."""

    fault_rate: float = 0.0
    """Share of the admitted requests that meet a fault: a third each 5xx, dropped connection, slow answer."""

    slow_seconds: float = 5.0
    """Seconds that a slow answer takes beyond its latency."""

    initial_level: float = 1.0
    """Share of each bucket that is full when a key first uses a model family."""

    count_max_tokens: bool = False
    """Whether a chat request is charged its `max_tokens` too, as the API did until the end of 2024; and a
    request for a response its `max_output_tokens`."""

    seed: int = 0
    """Seed of the latencies, the faults and the ids."""

    headers: bool = True
    """Whether answers carry `x-ratelimit-*` headers; False for the many servers that send none."""

    batch_seconds: float = 1.0
    """Seconds from a batch's creation to its end; one that takes more than a day expires."""

    batch_queue_limit: float | None = None
    """Tokens of each key and model family that may wait in batches; None for no limit."""

    batch_expiry_rate: float = 0.0
    """Share of the batches that expire, with a part of their requests answered."""

    batch_failure_rate: float = 0.0
    """Share of the batches that fail, with a part of their requests answered."""

    background_seconds: float = 1.0
    """Seconds that a response in the background takes."""

    background_failure_rate: float = 0.0
    """Share of the responses in the background that fail."""

    models: Sequence[str] = ()
    """Names of models that are served beside those of the API: of other servers, of deployments, newer ones."""

    @property
    def shown(self) -> str:
        """What differs from the defaults, as "rpm=500 tpm=200000"; equal for equal options."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return " ".join(
            f"{name}={_value_text(value)}"
            for name, value in given
            if value != getattr(SimulatorOptions, name)
        )

    def __post_init__(self) -> None:
        if isinstance(self.models, str) or not all(
            isinstance(one, str) and one and one.isprintable() for one in self.models
        ):
            raise ValueError(f'models must be a list of names, such as ["my-model"], got {self.models!r}')
        object.__setattr__(self, "models", tuple(self.models))
        for name in ("rpm", "tpm", "moderation_rpm", "batch_queue_limit"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                unit = "" if name == "batch_queue_limit" else " per minute"
                raise ValueError(f"{name} must be a number > 0{unit}, or None for no limit, got {value!r}")
        for name in ("latency", "latency_sigma", "slow_seconds", "batch_seconds", "background_seconds"):
            value = getattr(self, name)
            if not (_is_number(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
        shares = ("fault_rate", "initial_level", "batch_expiry_rate", "batch_failure_rate")
        for name in (*shares, "background_failure_rate"):
            value = getattr(self, name)
            if not (_is_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name} is a share and must be from 0 to 1, got {value!r}")
        if self.batch_expiry_rate + self.batch_failure_rate > 1:
            raise ValueError(
                "batch_expiry_rate and batch_failure_rate are shares of the same batches and must be 1 together at most, got "
                f"{self.batch_expiry_rate!r} and {self.batch_failure_rate!r}"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ValueError(f"seed must be an int, got {self.seed!r}")


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
