"""How sure answers of decisions should be: of all questions, or of each by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pxt_assets.compute.partition.label_findings import STEPS
from pxt_assets.errors import DefinitionError, did_you_mean

MinConfidence = float | Mapping[str, float]


def check_confidence(least: object) -> None:
    """Refuses what is no confidence, and no dict of such by question."""
    given = [*least.values()] if isinstance(least, Mapping) else [least]
    named = [*least] if isinstance(least, Mapping) else []
    if not given or not all(map(_is_confidence, given)) or not all(isinstance(name, str) for name in named):
        msg = (
            f"Checks: got min_confidence={least!r:.80}, allowed: above 0, up to 1, of at most three decimals, a dict of such "
            'by question, {"topic": 0.6}, or None'
        )
        raise DefinitionError(msg)


def check_confident_questions(least: MinConfidence | None, names: Iterable[str | None], where: str) -> None:
    """Refuses a confidence of a question that is not asked; the DefinitionError begins with `where`."""
    asked = [name for name in names if name is not None]
    for name in least if isinstance(least, Mapping) else ():
        if name not in asked:
            listed = ", ".join(asked) or "none that has a name"
            msg = (
                f"{where}: got min_confidence of {name!r}, allowed: its questions, {listed}"
                f"{did_you_mean(name, asked)}"
            )
            raise DefinitionError(msg)


def confidence_text(least: MinConfidence) -> str:
    """`0.6`, `topic 0.4, urgent 0.8`"""
    if not isinstance(least, Mapping):
        return f"{least:g}"
    return ", ".join(f"{name} {value:g}" for name, value in least.items())


def _is_confidence(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        return False
    return abs(value * STEPS - round(value * STEPS)) < 1e-6
