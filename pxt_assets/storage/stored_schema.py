"""What a table's columns must be like to be stored as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.errors import SourceError
from pxt_assets.values.plain_types import lacking_in_parquet, plain_schema

if TYPE_CHECKING:
    import pyarrow as pa


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in which a table is stored. Raises SourceError for repeated names and types that Parquet lacks."""
    plain = plain_schema(schema)
    repeated = list(dict.fromkeys(name for name in plain.names if plain.names.count(name) > 1))
    if repeated:
        msg = f"the table has more than one column named {', '.join(map(repr, repeated))}; rename all but one"
        raise SourceError(msg)
    for field in plain:
        lacking = lacking_in_parquet(field.type)
        if lacking is not None:
            msg = (
                f"the column {field.name!r} is {field.type}, and Parquet has no {lacking}; convert it upstream, for example "
                "to text, or drop it"
            )
            raise SourceError(msg)
    return plain
