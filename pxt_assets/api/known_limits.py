"""The rate limits of a resource's models, as far as they are known before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pxt_assets.api.ledger_url import MEMORY, default_ledger_url

if TYPE_CHECKING:
    from pxt_assets.api.openai_resource import OpenAIResource
    from pxt_assets.throttle.ledger import PoolReport


@dataclass(frozen=True)
class KnownLimits:
    """Limits of a group of models; None for what is not known to be limited."""

    group: str
    requests: float | None
    """Requests/minute."""
    tokens: float | None
    """Tokens/minute."""
    by: str
    """Who says so, for people."""

    @property
    def text(self) -> str:
        """The limits as text: "600 requests/minute (default_rpm)"."""
        limits = [
            f"{limit:,.6g} {unit}/minute"
            for limit, unit in ((self.requests, "requests"), (self.tokens, "tokens"))
            if limit is not None
        ]
        return f"{' and '.join(limits) or 'no limit'} ({self.by})"

    def seconds(self, requests: float, tokens: float) -> float:
        """How long so many requests and tokens take at the limits."""
        taken = [used / limit for used, limit in ((requests, self.requests), (tokens, self.tokens)) if limit]
        return 60 * max(taken, default=0.0)


class ResourceLimits:
    """What is known of the limits of a resource's models. It sends nothing, and makes no ledger where there is none."""

    def __init__(self, resource: OpenAIResource) -> None:
        self._resource = resource._with_environment_read()

    def of_model(self, model: str, *, sends_limits: bool) -> KnownLimits:
        """The limits of a model at an endpoint whose answers tell limits, or do not.

        Where neither the resource nor any answer told of one, `default_rpm` stands in for it.
        """
        resource = self._resource
        group = resource._model_group(model)
        if resource.simulator is not None and sends_limits:
            options = resource._simulator_options()
            return KnownLimits(group, options.rpm, options.tpm, "the simulator's")
        told = self._told_limits(group)
        if told.keys() & {"requests", "tokens"}:
            return KnownLimits(group, told.get("requests"), told.get("tokens"), "as the server said last")
        given = resource.rate_limits.get(model, resource.rate_limits.get(group))
        if given is not None:
            return KnownLimits(group, given, None, "rate_limits")
        waiting = ", as long as the server's limits are not known" if sends_limits else ""
        return KnownLimits(group, resource.default_rpm, None, f"default_rpm{waiting}")

    def _told_limits(self, group: str) -> dict[str, float]:
        """The limits by dimension that answers told of, as the ledger remembers them."""
        account = self._resource._account_id()
        return {
            line.dimension: line.limit_per_minute
            for line in self._ledger_lines
            if line.key == (account, group) and line.limit_per_minute
        }

    @cached_property
    def _ledger_lines(self) -> list[PoolReport]:
        """The pools of the ledger; none where it cannot be reached, or does not exist yet."""
        from pxt_assets.throttle.ledger import LedgerUnavailable, open_ledger

        try:
            url = self._resource.ledger or default_ledger_url(self._resource._storage)
            file = url.removeprefix("sqlite:///")
            if url == MEMORY or (file != url and not Path(file).exists()):
                return []
            return open_ledger(url).pools()
        except (LedgerUnavailable, OSError, ValueError):
            return []
