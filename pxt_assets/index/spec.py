"""An embedding index as it is declared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.embedder import Embedders

if TYPE_CHECKING:
    import dagster as dg

Metric = Literal["cosine", "ip", "l2"]
"""How near two vectors are: the cosine of their angle, their inner product, or their Euclidean distance."""

PARTITION, ROW, DIGEST, VECTOR = "_partition", "_row", "_digest", "_vector"
"""The columns of an index beside the table's own: partition key, digest of the row's key, of its contents, vector."""
INTERNAL = (PARTITION, ROW, DIGEST, VECTOR)
POSITION = "row"
"""The key of a table without one: the row's position, counted from 0."""
RESULT_COLUMNS = ("query", "partition_key", "score")
"""The columns of results beside keys and kept columns."""
LANCE_COLUMNS = (
    "_distance",
    "_rowid",
    "_rowaddr",
    "_rowoffset",
    "_row_created_at_version",
    "_row_last_updated_at_version",
    "query_index",
)
"""The names that LanceDB 0.40 has another use for, found by trying."""
TAKEN_NAMES = (*INTERNAL, *RESULT_COLUMNS, *LANCE_COLUMNS)
"""The names that no key and no kept column of an index can have."""
WIDER = "_pxt_wide_"
"""What the name of a column begins with until it takes the place of one with a narrower type."""
TAKEN_NAMES_TEXT = f"{', '.join(TAKEN_NAMES)}, *, an empty one, one that begins with {WIDER}, or has a dot, a backtick or a null character"
"""The same, and the other names that LanceDB cannot read back, for messages."""


@dataclass(frozen=True, eq=False)
class IndexSpec:
    """What an index holds, and how it is searched."""

    key: dg.AssetKey
    name: str
    table: dg.AssetKey
    row_key: tuple[str, ...]
    column: ColumnRef
    """The column that is searched: texts, images, or the vectors themselves."""
    vectors: ColumnRef
    """The column of the vectors."""
    space: str
    """The name of the vectors' space: the function that makes them and its constants, or the column they come from."""
    metric: Metric = "cosine"
    embedders: Embedders = field(default_factory=Embedders)
    columns: tuple[ColumnRef, ...] | None = None
    """The columns that are kept for filters and results; None for all plain columns of the upstream asset."""
    partitioned: bool = False
    copies: list[IndexSpec] = field(default_factory=list, repr=False)
    """The same index under other keys, which loaded definitions gave it."""
    resource_key: str = "indexes"
    """The key of the EmbeddingIndexes that keeps it."""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that identify a row in its partition."""
        return self.row_key or (POSITION,)

    @property
    def identity(self) -> str:
        """16 hexadecimal digits that change with the space, metric or key: rows of one identity are searched together."""
        text = repr((self.space, self.metric, self.key_columns))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @property
    def folder(self) -> Sequence[str]:
        """The parts of the name of the database that holds it: those of its table's key."""
        return self.key.path[:-1]

    @property
    def stored_name(self) -> str:
        """Its name in that database: the last part of its key, a digest in place of what LanceDB has no letters for."""
        last = self.key.path[-1]
        plain = re.sub(r"[^A-Za-z0-9_]", "_", last)
        return (
            plain if plain == last else f"{plain}_{hashlib.blake2b(last.encode(), digest_size=4).hexdigest()}"
        )

    @property
    def label(self) -> str:
        """`tickets/body_idx`, for messages."""
        return self.key.to_user_string()


def check_metric(metric: object, where: str) -> None:
    """Raises DefinitionError, which begins with `where`, for an unknown metric."""
    if metric not in get_args(Metric):
        msg = f"{where}: got metric={metric!r}, allowed: 'cosine', 'ip' (inner product) or 'l2' (Euclidean distance)"
        raise DefinitionError(msg)


def check_names(row_key: tuple[str, ...], where: str) -> None:
    """Raises DefinitionError, which begins with `where`, for key columns that an index cannot hold."""
    for name in row_key:
        if not is_free_name(name):
            msg = f"{where}: the key column {name!r} has a name that an index cannot have ({TAKEN_NAMES_TEXT}); rename it upstream"
            raise DefinitionError(msg)


def is_free_name(name: str) -> bool:
    """Whether an index can have a key or kept column of that name beside its own columns."""
    return name not in (*TAKEN_NAMES, "*", "") and not {*".`\0"} & {*name} and not name.startswith(WIDER)
