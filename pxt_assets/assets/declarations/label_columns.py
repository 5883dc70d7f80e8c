"""Which columns hold the labels of which questions, checked while definitions load."""

from __future__ import annotations

from collections.abc import Callable

from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.errors import DefinitionError, did_you_mean
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.functions.questions import questions_of


def label_columns(
    name: str, expr: object, checks: Checks, column: Callable[[str], ColumnRef], where: str
) -> dict[str, ColumnRef]:
    """The columns that the answers of the column `name` are compared with, by question.

    `column` gives a column of the table by its name, and raises DefinitionError where there is none; that of other
    mistakes begins with `where`.
    """
    if checks.labels is None:
        return {}
    names = [question.name for question in questions_of(expr) if question.name is not None]
    labels = checks.labels
    if isinstance(labels, str):
        if len(names) != 1:
            msg = (
                f"{where}: got labels={labels!r}, allowed where there is one named question; of {len(names):,} say which "
                f'it labels: labels={{"{names[0] if names else "name"}": {labels!r}}}'
            )
            raise DefinitionError(msg)
        labels = {names[0]: labels}
    for question, label in labels.items():
        if question not in names:
            asked = ", ".join(names) or "none that has a name"
            msg = f"{where}: got labels of {question!r}, allowed: its questions, {asked}{did_you_mean(question, names)}"
            raise DefinitionError(msg)
        if label == name:
            msg = f"{where}: got labels={{{question!r}: {label!r}}}, which is the column itself, allowed: another one"
            raise DefinitionError(msg)
    return {question: column(label) for question, label in labels.items()}
