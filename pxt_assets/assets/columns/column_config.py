"""The run config of a computed column, as the launchpad shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import dagster as dg
from pydantic import Field, ValidationError, field_validator

from pxt_assets.api.within import WITHINS


class ColumnConfig(dg.Config):
    """The options of a run for one column. 0 stands for none, since the launchpad shows no option that is null."""

    limit: int | None = Field(
        default=0,
        validate_default=True,
        description="0 is none: all rows are computed. Otherwise how many of the first rows of each partition: a trial that "
        "leaves the stored column as it is.",
    )
    refresh: bool = Field(default=False, description="Compute every row anew, and pay for it.")
    retry_errors: bool = Field(
        default=True,
        description="Try rows again that failed in an earlier run; with on_error='abort' they always are.",
    )
    dry_run: bool = Field(
        default=False,
        description="Ask for nothing: estimate from the rows what computing them would take and cost.",
    )
    max_cost_usd: float | None = Field(
        default=0,
        validate_default=True,
        description="0 is none: the column's own max_cost_usd holds, if it has one. Otherwise the US dollars that the run "
        "may spend on this column, over all its partitions: when they are spent, it fails, and what is finished is kept.",
    )
    within: str | None = Field(
        default="",
        validate_default=True,
        description="Empty: as the column says. now: every answer at once; what is on its way is cancelled, and what was "
        "finished of it is kept. 24h (the Batch API), 8h or 2h (the Responses API in the background): how long answers may "
        "take, at a lower price.",
    )
    wait: bool | None = Field(
        default=None,
        description="Whether the run waits for answers that come later. Not set: it does unless the table has a collector, a "
        "sensor that asks for another run when they are there.",
    )

    @field_validator("limit")
    @classmethod
    def _check_limit(cls, limit: int | None) -> int | None:
        """None for no limit."""
        if limit is not None and limit < 0:
            msg = f"got {limit}, allowed: how many of the first rows to compute, or 0 for all rows"
            raise ValueError(msg)
        return limit or None

    @field_validator("max_cost_usd")
    @classmethod
    def _check_max_cost_usd(cls, max_cost_usd: float | None) -> float | None:
        """None for the column's own."""
        if max_cost_usd is not None and not max_cost_usd >= 0:  # nor is it no number
            msg = f"got {max_cost_usd:g}, allowed: US dollars, or 0 for the column's own max_cost_usd"
            raise ValueError(msg)
        return max_cost_usd or None

    @field_validator("within")
    @classmethod
    def _check_within(cls, within: str | None) -> str | None:
        """None for what the column says."""
        if within is not None and within not in ("", "now", *WITHINS):
            msg = f"got {within!r:.60}, allowed: {', '.join(('now', *WITHINS))}, or nothing for what the column says"
            raise ValueError(msg)
        return within or None

    @classmethod
    def of_run(cls, given: Mapping[str, Any], asset: str) -> Self:
        """The config that a run gave to an asset. Raises dg.Failure, which names the option."""
        try:
            return cls(**given)
        except ValidationError as e:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
                for one in e.errors()
            )
            msg = f"{asset}: run config: {wrong}"
            raise dg.Failure(msg, allow_retries=False) from e
