"""How a resource is made that asks a simulator of its own in place of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pxt_assets.api.embedded_simulator import checked_options, option_names
from pxt_assets.errors import options_checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dagster as dg


class Simulated:
    """The part of an OpenAIResource that makes one with a simulator."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...

    @classmethod
    def _said_elsewhere(cls, name: str) -> str | None:
        """Where an option is given that is no field of the resource; None if nobody has it."""
        return f"it is an option of {cls.__name__}.simulated(...)" if name in option_names() else None

    @classmethod
    @options_checked("OpenAIResource.simulated", ValueError)
    def simulated(
        cls,
        *,
        rpm: float | dg.EnvVar | None = None,
        tpm: float | dg.EnvVar | None = None,
        moderation_rpm: float | dg.EnvVar | None = None,
        latency: float | dg.EnvVar = 0.0,
        latency_sigma: float | dg.EnvVar = 0.0,
        fault_rate: float | dg.EnvVar = 0.0,
        slow_seconds: float | dg.EnvVar = 5.0,
        initial_level: float | dg.EnvVar = 1.0,
        count_max_tokens: bool | dg.EnvVar = False,
        seed: int | dg.EnvVar = 0,
        headers: bool | dg.EnvVar = True,
        batch_seconds: float | dg.EnvVar = 1.0,
        batch_queue_limit: float | dg.EnvVar | None = None,
        batch_expiry_rate: float | dg.EnvVar = 0.0,
        batch_failure_rate: float | dg.EnvVar = 0.0,
        background_seconds: float | dg.EnvVar = 1.0,
        background_failure_rate: float | dg.EnvVar = 0.0,
        models: Sequence[str] = (),
        rate_limits: Mapping[str, float | dg.EnvVar] | None = None,
        default_rpm: float | dg.EnvVar = 600,
        model_groups: Mapping[str, str] | None = None,
        batch_queue_tokens: Mapping[str, float | dg.EnvVar] | None = None,
        max_in_flight: int | dg.EnvVar = 1_000,
        max_batch: int | dg.EnvVar | None = None,
        timeout: float | dg.EnvVar = 600,
        max_retries: int | dg.EnvVar = 5,
        retry_unknown: int | dg.EnvVar = 1,
        outage_timeout: float | dg.EnvVar = 300,
        ledger: str | None = None,
    ) -> Self:
        """A resource that starts a simulator on loopback when it is first used: no key, no cost, no network.

        All processes of a Dagster instance share the limits of simulators with equal options, and the ledger, as they
        would those of a key; without an instance, all that this process does. What it produces is marked: `pxt/simulated`
        is true, and it never passes for an answer of the API.

        Args:
            rpm: Requests/minute of each model family; None for no limit.
            tpm: Tokens/minute of each model family; None for no limit.
            moderation_rpm: Requests/minute of the moderation models, which announce no limits; None for `rpm`.
            latency: Median seconds from a request's arrival to its answer.
            latency_sigma: Sigma of the log-normal distribution of the latency; 0 for a constant one.
            fault_rate: Share of the requests that meet a fault: a third each 5xx, dropped connection, slow answer.
            slow_seconds: Seconds that a slow answer takes beyond its latency.
            initial_level: Share of each limit that is there when a model family is first used, or again after a day.
            count_max_tokens: Whether a request is charged its `max_tokens` too, or its `max_output_tokens`.
            seed: Seed of the latencies, the faults and the ids.
            headers: Whether answers carry `x-ratelimit-*` headers; False for the many servers that send none.
            batch_seconds: Seconds from a batch's creation to its end; one that takes more than a day expires.
            batch_queue_limit: Tokens of each model family that may wait in batches; None for no limit.
            batch_expiry_rate: Share of the batches that expire, with a part of their requests answered.
            batch_failure_rate: Share of the batches that fail, with a part of their requests answered.
            background_seconds: Seconds that a response in the background takes.
            background_failure_rate: Share of the responses in the background that fail.
            models: Names of models that are served beside those of the API; any other is refused as unknown.
            rate_limits: This and all that follow: the fields of the resource.

        Raises ValueError for an option that is not allowed.
        """
        given = {name: value for name, value in locals().items() if name != "cls"}
        options = {name: given.pop(name) for name in option_names()}
        fields = {name: value for name, value in given.items() if value is not None}
        return cls(api_key="simulated", simulator=checked_options(options), **fields)
