"""The types of CSV columns: a column of text is Int, Float or Bool only if its values give back its text.

Where `;` separates the columns, a number may have a decimal comma, and points between its thousands: `1.234,56`. What
could be thousands as well as decimals in every row, `1,234` or `1.234`, stays text unless the schema says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.values.types import Bool, ColumnType, Float, Int, String

if TYPE_CHECKING:
    import pyarrow as pa

_INFERRED_FORMS: dict[type[ColumnType], str] = {
    Int: r"\A(0|-?[1-9][0-9]{0,18})\z",
    # At most 15 digits before the point: a longer number is an identifier, which a float would change.
    Float: r"\A-?((0|[1-9][0-9]{0,14})(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?\z",
    Bool: r"\A(?i:true|false)\z",
}
"""The form that a column's texts must have for its type to be inferred."""
_DECLARED_FORMS: dict[type[ColumnType], str] = {
    Int: r"\A[+-]?[0-9]+\z",
    Float: r"\A[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\z",
    Bool: _INFERRED_FORMS[Bool],
}
"""The form that they may have if the type is declared."""
_INFERRED_DECIMAL_COMMA = (
    r"\A-?((0|[1-9][0-9]{0,14}|[1-9][0-9]{0,2}(\.[0-9]{3}){1,4})(,[0-9]+)?|,[0-9]+)([eE][+-]?[0-9]+)?\z"
)
_DECLARED_DECIMAL_COMMA = r"\A[+-]?(([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?\z"
_DECLARED_THOUSANDS = r"\A[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)\z"
_THOUSANDS_OR_DECIMALS = r"\A-?[1-9][0-9]{0,2}[.,][0-9]{3}\z"


class MisfitError(Exception):
    """The value at `index` has not the form of the column's type."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def csv_type(declared: type[ColumnType]) -> type[ColumnType]:
    """A declared type that CSV has a form for; any other is read as text, and cast where it is used."""
    return declared if declared in _DECLARED_FORMS else String


def inferred_type(sample: pa.Array, *, decimal_comma: bool) -> type[ColumnType]:
    """The type that a column's first values have. `decimal_comma` says that its numbers may have one."""
    import pyarrow.compute as pc

    filled = sample.filter(pc.not_equal(sample, ""))
    if not len(filled):
        return String
    sign = decimal_sign(filled) if decimal_comma else None
    for kind, plain in _INFERRED_FORMS.items():
        form = _INFERRED_DECIMAL_COMMA if kind is Float and sign == "," else plain
        if pc.all(pc.match_substring_regex(filled[:100], form)).as_py():
            if kind is Float and decimal_comma and not _says_its_sign(filled, sign):
                continue
            try:
                parse_column(sample, kind, declared=False, sign=sign)
            except MisfitError:
                continue
            return kind
    return String


def decimal_sign(text: pa.Array) -> str | None:
    """The decimal sign of a column whose numbers may have a decimal comma; None if it has had neither sign."""
    import pyarrow.compute as pc

    for sign in (",", "."):
        if pc.any(pc.match_substring(text, sign)).as_py():
            return sign
    return None


def _says_its_sign(filled: pa.Array, sign: str | None) -> bool:
    """Whether a column of numbers shows which sign its decimals have."""
    import pyarrow.compute as pc

    if sign is None:
        return True
    signed = filled.filter(pc.match_substring(filled, sign))
    if pc.all(pc.match_substring_regex(signed, _THOUSANDS_OR_DECIMALS)).as_py():
        return False
    points = pc.match_substring(filled, ".")
    if sign == "." or not pc.any(points).as_py():
        return True
    return bool(pc.any(pc.and_(points, pc.match_substring(filled, ","))).as_py())


def parse_column(
    text: pa.Array, kind: type[ColumnType], *, declared: bool, sign: str | None = None, grouped: bool = False
) -> pa.Array:
    """The values of a column of text; null and empty texts are null. Raises MisfitError for the first misfit.

    `sign` is the decimal sign, None for a point; `grouped` says that whole numbers, if they are declared, may have points
    between their thousands.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    form = (_DECLARED_FORMS if declared else _INFERRED_FORMS)[kind]
    if kind is Float and sign == ",":
        form = _DECLARED_DECIMAL_COMMA if declared else _INFERRED_DECIMAL_COMMA
    elif kind is Int and declared and grouped:
        form = _DECLARED_THOUSANDS
    empty = pc.equal(text, "")
    fits = pc.or_(empty, pc.match_substring_regex(text, form))
    values = pc.if_else(pc.and_(fits, pc.invert(empty)), text, pa.scalar(None, pa.string()))
    if kind is Bool:
        values = pc.equal(pc.ascii_lower(values), "true")
    elif kind is Float:
        if sign == ",":
            values = pc.replace_substring(pc.replace_substring(values, ".", ""), ",", ".")
        values = pc.cast(pc.ascii_ltrim(values, "+"), pa.float64())
        fits = pc.and_(fits, pc.fill_null(pc.is_finite(values), True))
    else:
        values = pc.ascii_ltrim(pc.replace_substring(values, ".", "") if grouped else values, "+")
        try:
            values = pc.cast(values, pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            inside = [v is None or -(2**63) <= int(v) < 2**63 for v in values.to_pylist()]
            fits = pc.and_(fits, pa.array(inside))
    if (index := pc.index(fits, False).as_py()) >= 0:
        raise MisfitError(index)
    return values
