"""The columns of a table, as far as they are known while definitions load."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg

from pxt_assets.errors import DefinitionError, UnknownColumnError, did_you_mean
from pxt_assets.expressions.expr import ColumnIndexes, ColumnRef
from pxt_assets.values.types import ColumnType, String

_TEXT_TYPES = frozenset({"string", "large_string", "string_view", "str", "text", "varchar"})
"""Names of the type of texts in the `dagster/column_schema` of upstream assets."""


class KnownColumns:
    """The columns of one table: upstream ones, where the upstream asset declares them, and those computed so far.

    Iterating gives the known names.
    """

    def __init__(
        self,
        table: dg.AssetKey,
        row_key: Sequence[str],
        schema: Mapping[str, type[ColumnType]],
        upstream: Mapping[str, str] | None,
        table_indexes: ColumnIndexes,
    ) -> None:
        self._table = table
        self._row_key = row_key
        self._schema = schema
        self._upstream = upstream
        self._table_indexes = table_indexes
        self._computed: dict[str, ColumnRef] = {}
        self._referenced: dict[str, None] = {}
        for name in (*row_key, *schema):
            if upstream is not None and name not in upstream:
                raise self._unknown_column_error(name)

    def __iter__(self) -> Iterator[str]:
        return iter([*(self._upstream or ()), *self._computed])

    def ref(self, name: object) -> ColumnRef:
        """A reference to a column. Raises UnknownColumnError where it is known that there is none."""
        if not isinstance(name, str):
            msg = f"{self._label}: got the column {name!r}; a column is named by text, tbl['body']"
            raise DefinitionError(msg)
        if name in self._computed:
            return self._computed[name]
        if self._upstream is not None and name not in self._upstream:
            raise self._unknown_column_error(name)
        self._referenced[name] = None
        return self._upstream_ref(name)

    def add(self, ref: ColumnRef) -> None:
        """Adds a computed column."""
        self._computed[ref._column] = ref

    def remove(self, name: str) -> None:
        """Removes a computed column."""
        del self._computed[name]

    @property
    def computed(self) -> Collection[str]:
        """The computed columns, in the order in which they were added."""
        return self._computed.keys()

    def name_conflict(self, name: str) -> str | None:
        """What has that name already, as text for a message; None where nothing has."""
        conflicts = {
            **dict.fromkeys(self._computed, "a computed column added before"),
            **dict.fromkeys(self._upstream or (), "a column of the upstream asset"),
            **dict.fromkeys(self._referenced, "a column of the upstream asset, referred to before"),
            **dict.fromkeys(self._schema, "a column of the upstream asset, declared in schema="),
            **dict.fromkeys(self._row_key, "a key column"),
        }
        for of_errors in (f"{name}_errortype", f"{name}_errormsg"):
            if of_errors in self._row_key:
                conflicts[name] = f"a column whose errors would be in {of_errors!r}, the name of a key column"
        return conflicts.get(name)

    def only_text_column(self) -> ColumnRef:
        """The only column of texts. Raises DefinitionError, which lists the candidates, where it is not known.

        Key columns do not count. Of an upstream that does not declare its types, columns count that were referred to.
        """
        texts = [name for name, kind in self._schema.items() if issubclass(kind, String)]
        if self._upstream is not None:
            declared = {name for name, kind in self._upstream.items() if kind.lower() in _TEXT_TYPES}
            texts += [name for name in self._upstream if name in declared and name not in self._schema]
        else:
            texts += [name for name in self._referenced if name not in self._schema]
        texts = [name for name in texts if name not in self._row_key]
        texts += [name for name, ref in self._computed.items() if ref._type is String]
        if len(texts) == 1:
            return self.ref(texts[0])
        wanted = (
            f"name it, such as {self._label}.add_embedding_index(tbl.{texts[0] if texts else 'body'}, ...)"
        )
        if texts:
            msg = f"{self._label} has {len(texts)} columns that may be the text to index: {', '.join(texts)}; {wanted}"
        elif self._upstream is None:
            msg = (
                f"{self._label}: which of its columns is text is not known while definitions load; {wanted}, or "
                'declare it: Table(..., schema={"body": String})'
            )
        else:
            msg = f"{self._label} is not known to have a text column; it has {', '.join(self)}; {wanted}"
        raise DefinitionError(msg)

    def column_to_index(self, column: object) -> ColumnRef:
        """A column that is given as a reference or by its name; for None the only column of texts.

        Raises DefinitionError for a column of another table, and where there is no such column.
        """
        if column is None:
            return self.only_text_column()
        if isinstance(column, ColumnRef) and column._table != self._table:
            msg = f"{self._label}: {column!r} is a column of another table; add the index to that"
            raise DefinitionError(msg)
        if not isinstance(column, ColumnRef | str):
            msg = (
                f"{self._label}: got {column!r:.60} to index, allowed: a column of the table (add a path as a computed column "
                "first)"
            )
            raise DefinitionError(msg)
        return column if isinstance(column, ColumnRef) else self.ref(column)

    def _upstream_ref(self, name: str) -> ColumnRef:
        return ColumnRef(
            self._table, self._table, name, self._schema.get(name), table_indexes=self._table_indexes
        )

    @property
    def _label(self) -> str:
        return f"Table({self._table.to_user_string()!r})"

    def _unknown_column_error(self, name: str) -> UnknownColumnError:
        names = list(self)
        msg = f"{self._label} has no column {name!r}; it has {', '.join(names)}{did_you_mean(name, names)}"
        return UnknownColumnError(msg)
