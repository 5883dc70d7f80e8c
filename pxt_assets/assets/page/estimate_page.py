"""What the UI and the log show of a dry run."""

from __future__ import annotations

from typing import Any

from pxt_assets.api.meter import cost_text
from pxt_assets.compute.dry_run import Estimate


def estimate_metadata(estimate: Estimate) -> dict[str, Any]:
    """The metadata of an estimate."""
    return {
        "pxt/dry_run": True,
        "pxt/rows": estimate.rows,
        "pxt/rows_to_compute": estimate.to_compute,
        "pxt/estimated_requests": estimate.requests,
        "pxt/estimated_input_tokens": estimate.input_tokens,
        "pxt/estimated_output_tokens": estimate.output_tokens,
        "pxt/estimated_cost_usd": "unknown" if estimate.cost_usd is None else estimate.cost_usd,
        "pxt/estimate": estimate_line(estimate),
    }


def estimate_line(estimate: Estimate) -> str:
    """The estimate as a sentence."""
    by = (
        "characters / 4, corrected by what earlier runs of this column used"
        if estimate.has_observations
        else "characters / 4 and a page of text an answer: no earlier run of this column is known"
    )
    refused = f"; {estimate.refused} rows would fail without a request" if estimate.refused else ""
    dependent = (
        f"; {estimate.dependent} requests are made of other answers, and not in these tokens and costs"
        if estimate.dependent
        else ""
    )
    return (
        f"dry run, nothing was sent: {estimate.to_compute:,} of {estimate.rows:,} rows to compute, about "
        f"{estimate.requests:,} requests, {estimate.input_tokens:,} input and {estimate.output_tokens:,} output tokens, "
        f"{cost_text(estimate.cost_usd)} (an estimate, by {by}){refused}{dependent}"
    )
