"""Figures as people read them, and as they are stored: rounded to what is known of them."""

from __future__ import annotations

_EXACT_DIGITS = 12
"""Significant digits of a stored figure: sums of thousands of them are exact to a digit that nobody pays."""


def rounded(value: float) -> float:
    """A measured figure without the digits that binary fractions add: 0.00026359999999999996 is 0.0002636."""
    return float(f"{value:.{_EXACT_DIGITS}g}")


def rounded_seconds(seconds: float) -> float:
    """Seconds, to the millisecond; a short time is not 0."""
    return round(seconds, 3) if seconds >= 0.001 else float(f"{seconds:.2g}")


def rounded_share(value: float) -> float:
    """A share or a latency, to four significant digits; a short one is not 0."""
    return float(f"{value:.4g}")


def duration(seconds: float) -> str:
    """`0.04 s`, `1.7 s`, `2 min 30 s`, `1 h 2 min 5 s`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s" if seconds >= 0.1 or not seconds else f"{max(seconds, 0.01):.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def percent(share: float) -> str:
    """`55 %`; what is not nothing is not 0 %."""
    return "under 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"
