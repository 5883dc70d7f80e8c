"""Numbers in sentences."""

from __future__ import annotations

from decimal import Decimal


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 row", "1,200 rows"; `plural` where it is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def dollars(cost: float) -> str:
    """US dollars to six digits, of less than a cent too: `$0.50`, `$0.00004275`."""
    text = f"{Decimal(f'{cost:.6g}'):f}"
    return f"${text}" if len(text.partition(".")[2]) > 2 else f"${cost:.2f}"
