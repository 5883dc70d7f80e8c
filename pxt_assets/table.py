"""Table: a handle on an upstream asset, to which computed columns are added."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import dagster as dg

from pxt_assets.asset import ColumnSpec, column_asset
from pxt_assets.errors import DefinitionError, UnknownColumnError
from pxt_assets.expr import ColumnRef, Expr, code, has_images, nodes, references, type_of
from pxt_assets.files import media_schema
from pxt_assets.source import files_asset
from pxt_assets.types import Audio, ColumnType, Image

Source = dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey | str
OnError = Literal["abort", "ignore"]


class Table:
    """An upstream asset whose value is rows, and the columns computed from it.

    Example:
        ```python
        tbl = Table(tickets, key="id")
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))
        tbl.add_computed_column(answer=tbl.response.choices[0].message.content)
        defs = dg.Definitions(assets=[tickets, *tbl.assets], resources={...})
        ```

    `tbl.name` and `tbl["name"]` are references to a column, upstream or computed before.

    Args:
        asset: the upstream asset: its definition, spec, key, or the key as text (`"raw/tickets"`).
        key: the column or columns that identify a row inside a partition, unique and not null. Without a key, rows
            are identified by their position.
        schema: types of upstream columns that their data does not tell, such as Json kept as text.
        partitions_def: the partitions of the computed columns; by default those of `asset`, which only its
            definition or spec tells.

    Raises DefinitionError for what cannot be a table.
    """

    def __init__(
        self,
        asset: Source,
        *,
        key: str | Sequence[str] | None = None,
        schema: Mapping[str, type[ColumnType]] | None = None,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
    ) -> None:
        spec = _spec_of(asset)
        self._asset_key = spec.key
        self._row_key = _names(key)
        self._schema = _checked_schema(schema or {})
        self._partitions_def = partitions_def or spec.partitions_def
        policy = asset.backfill_policy if isinstance(asset, dg.AssetsDefinition) else None
        self._backfill_policy = policy or dg.BackfillPolicy.single_run()
        self._group_name = spec.group_name
        self._upstream = _known_columns(spec)
        self._storage_options: dict[str, Any] = {}
        self._columns: dict[str, ColumnRef] = {}
        self._assets: list[dg.AssetsDefinition] = []
        self._referenced: set[str] = set()
        for name in (*self._row_key, *self._schema):
            if self._upstream is not None and name not in self._upstream:
                raise self._unknown(name)

    @classmethod
    def from_files(
        cls,
        name: str,
        path: str,
        *,
        key: str | Sequence[str] | None = None,
        schema: Mapping[str, type[ColumnType]] | None = None,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        encoding: str = "utf-8",
        storage_options: Mapping[str, Any] | None = None,
        group_name: str | None = None,
        description: str | None = None,
    ) -> Table:
        """A table of CSV, JSON Lines, Parquet or Arrow files, or of images or audio files, one a row.

        Its source asset is the first of `assets`.

        Example:
            ```python
            tbl = Table.from_files(
                "tickets",
                "data/tickets/{partition_key}.csv",
                key="id",
                partitions_def=dg.DailyPartitionsDefinition("2027-03-01"),
            )
            pics = Table.from_files("pics", "data/pics/*.jpg", key="path")
            calls = Table.from_files("calls", "s3://bucket/calls/", key="path", schema={"audio": Audio})
            ```

        Args:
            name: the asset's key, as text.
            path: a path, glob or fsspec URL. `{partition_key}` stands for the partition, or the name of a dimension
                in braces for its part of a multi-dimensional one.
            key: as for `Table`.
            schema: types of columns; a type that is not given is decided by the first rows.
            partitions_def: the partitions, each of its own files.
            encoding: of text files.
            storage_options: options of the fsspec file system.
            group_name: group of the source asset and, unless they say otherwise, of the columns.
            description: of the source asset.

        An empty cell of a CSV file is null; `""` is an empty text.

        Images (jpg, jpeg, png, webp, gif, bmp, tif, tiff) and audio files (mp3, wav, flac, ogg, m4a, mp4, mpeg, mpga,
        oga, webm, opus, aac; in any case) are listed, not opened: a computed column reads those that it needs. Their
        table has a row for each file, in the order of their paths, and the columns `image` or `audio` (the file itself),
        `path` (absolute, or its URL without credentials), `size` (bytes, null where the storage does not tell) and
        `format` (such as "jpeg", by the suffix).

        `schema` says of a path without a suffix what it holds: {"image": Image} or {"audio": Audio}. A folder
        ("data/pics/", "data/pics/{partition_key}") then means the files of that kind directly in it, whatever else is
        there. What a glob matches ("data/pics/2027*") must be of that kind. Hidden files, and what the storage lists
        as a link, are no rows unless `path` names them. Web servers list no files: give a table of URLs instead.

        Raises DefinitionError for a path that does not suit the partitions; reading raises SourceError, which names
        the file and the line.
        """
        given = {"group_name": group_name, "description": description}
        declared = _checked_schema(schema or {})
        source = files_asset(
            _spec_of(name).key,
            path,
            schema=declared,
            partitions_def=partitions_def,
            encoding=encoding,
            storage_options=storage_options,
            attributes={k: v for k, v in given.items() if v is not None},
        )
        typed = media_schema(path, declared)
        for column in _names(key):
            if typed is not declared and typed.get(column) in (Image, Audio):  # of other files it may be text
                msg = f"got key={key!r}; the {column} itself cannot identify a row, but its file can: key='path'"
                raise DefinitionError(msg)
        table = cls(source, key=key, schema=typed)
        table._assets.append(source)
        table._storage_options = dict(storage_options or {})
        return table

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far, for `dg.Definitions(assets=[...])`."""
        return list(self._assets)

    def __repr__(self) -> str:
        return f"Table({self._asset_key.to_user_string()!r})"

    def __getattr__(self, name: str) -> ColumnRef:
        if name.startswith("_"):
            msg = f"{type(self).__name__} has no attribute {name!r}; a column of that name is written tbl[{name!r}]"
            raise AttributeError(msg)
        return self[name]

    def __getitem__(self, name: object) -> ColumnRef:
        if not isinstance(name, str):
            msg = f"{self!r}: got the column {name!r}; a column is named by text, tbl['body']"
            raise DefinitionError(msg)
        if name in self._columns:
            return self._columns[name]
        if self._upstream is not None and name not in self._upstream:
            raise self._unknown(name)
        self._referenced.add(name)
        return ColumnRef(self._asset_key, self._asset_key, name, self._schema.get(name))

    def __iter__(self) -> Iterable[Any]:
        msg = f"{self!r} cannot be iterated: its rows are not known while definitions load"
        raise DefinitionError(msg)

    def add_computed_column(
        self,
        *,
        on_error: OnError = "abort",
        partition_mapping: dg.PartitionMapping | None = None,
        automation_condition: dg.AutomationCondition[Any] | None = None,
        freshness_policy: dg.FreshnessPolicy | None = None,
        group_name: str | None = None,
        owners: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        **columns: Any,
    ) -> dg.AssetsDefinition:
        """Adds one column, `name=expression`, and returns its asset, whose key is `[*table key, name]`.

        Example:
            ```python
            tbl.add_computed_column(
                embed=embeddings(tbl.body, model="text-embedding-3-small"), on_error="ignore", owners=["team:search"]
            )
            ```

        The expression is a function call, a column reference or a path into one, or a dict or list of these. With
        `on_error="abort"` a failed row fails the run; with "ignore" its error is stored beside the others' results.
        The other options are those of a Dagster asset. Raises DefinitionError.
        """
        name, expr = self._checked_column(columns)
        if on_error not in get_args(OnError):
            msg = f"{self!r}.{name}: got on_error={on_error!r}, allowed: 'abort' or 'ignore'"
            raise DefinitionError(msg)
        read = references(expr)
        if partition_mapping is not None and read and all(ref._asset != self._asset_key for ref in read):
            msg = (
                f"{self!r}.{name}: partition_mapping maps to the upstream asset's partitions, but this column reads "
                "computed columns alone, whose partitions are its own; leave it out"
            )
            raise DefinitionError(msg)
        column_type, shape = type_of(expr)
        key = dg.AssetKey([*self._asset_key.path, name])
        given = {
            "automation_condition": automation_condition,
            "freshness_policy": freshness_policy,
            "group_name": group_name or self._group_name,
            "owners": owners,
            "tags": tags,
            "description": description,
        }
        spec = ColumnSpec(
            key=key,
            name=name,
            expr=expr,
            column_type=column_type,
            table=self._asset_key,
            row_key=self._row_key,
            partitions_def=self._partitions_def,
            backfill_policy=self._backfill_policy if self._partitions_def else None,
            on_error=on_error,
            partition_mapping=partition_mapping,
            storage_options=self._storage_options,
            attributes={k: v for k, v in given.items() if v is not None},
        )
        asset = column_asset(spec)
        self._columns[name] = ColumnRef(self._asset_key, key, name, column_type, shape)
        self._assets.append(asset)
        return asset

    def _checked_column(self, columns: Mapping[str, Any]) -> tuple[str, Any]:
        if len(columns) != 1:
            got = ", ".join(columns) or "none"
            msg = f"{self!r}.add_computed_column: got the columns {got}; add exactly one a call: name=expression"
            raise DefinitionError(msg)
        ((name, expr),) = columns.items()
        taken = {
            **dict.fromkeys(self._columns, "a computed column added before"),
            **dict.fromkeys(self._upstream or (), "a column of the upstream asset"),
            **dict.fromkeys(self._referenced, "a column of the upstream asset, referred to before"),
            **dict.fromkeys(self._schema, "a column of the upstream asset, declared in schema="),
            **dict.fromkeys(self._row_key, "a key column"),
        }
        if name in taken:
            msg = f"{self!r}: {name!r} is {taken[name]}; choose another name"
            raise DefinitionError(msg)
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            msg = f"{self!r}: {name!r} is no column name; write it with letters, digits and _"
            raise DefinitionError(msg)
        if name.startswith("_") or name.endswith(("_errortype", "_errormsg")) or name in _RESERVED:
            msg = (
                f"{self!r}: {name!r} is a reserved name (names that begin with _, that end with _errortype or "
                f"_errormsg, and {', '.join(sorted(_RESERVED))}); choose another"
            )
            raise DefinitionError(msg)
        if not isinstance(expr, Expr) and not any(True for _ in nodes(expr)):
            msg = (
                f"{self!r}.{name}: got {type(expr).__name__} {expr!r:.60}, allowed: a function call, a column reference, "
                "or a dict or list of these"
            )
            raise DefinitionError(msg)
        if has_images(expr):
            msg = (
                f"{self!r}.{name}: a dict or list is stored as JSON, which holds no images or sounds; give each of "
                "them a column of its own"
            )
            raise DefinitionError(msg)
        for ref in references(expr):
            if ref._table != self._asset_key:
                msg = (
                    f"{self!r}.{name}: {ref!r} is a column of another table; join the tables upstream, in an asset "
                    "that gives both as rows"
                )
                raise DefinitionError(msg)
        try:
            code(expr)
        except (TypeError, ValueError) as e:
            msg = f"{self!r}.{name}: {e}"
            raise DefinitionError(msg) from e
        return name, expr

    def _unknown(self, name: str) -> UnknownColumnError:
        names = [*(self._upstream or ()), *self._columns]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        msg = f"{self!r} has no column {name!r}; it has {', '.join(names)}{hint}"
        return UnknownColumnError(msg)


_RESERVED = frozenset(n for n in dir(Table) if not n.startswith("_"))
"""Names that `tbl.name` gives another meaning."""


def _spec_of(asset: object) -> dg.AssetSpec:
    if isinstance(asset, dg.AssetsDefinition):
        specs = list(asset.specs)
        if len(specs) != 1:
            names = ", ".join(spec.key.to_user_string() for spec in specs)
            msg = f"got an asset definition of {len(specs)} assets ({names}); give the key of the one that is the table"
            raise DefinitionError(msg)
        return specs[0]
    if isinstance(asset, dg.AssetSpec):
        return asset
    if isinstance(asset, dg.AssetKey):
        return dg.AssetSpec(asset)
    if isinstance(asset, str) and asset:
        return dg.AssetSpec(dg.AssetKey.from_user_string(asset))
    msg = f"got {type(asset).__name__} {asset!r:.60} as a table, allowed: an asset, an AssetSpec, an AssetKey, or its text"
    raise DefinitionError(msg)


def _names(key: str | Sequence[str] | None) -> tuple[str, ...]:
    names = (
        () if key is None else (key,) if isinstance(key, str) or not isinstance(key, Sequence) else tuple(key)
    )
    if not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
        msg = f"got key={key!r}, allowed: a column name, or several different ones"
        raise DefinitionError(msg)
    return names


def _checked_schema(schema: Mapping[str, Any]) -> dict[str, type[ColumnType]]:
    for name, column_type in schema.items():
        if not (isinstance(column_type, type) and issubclass(column_type, ColumnType)):
            msg = f"schema[{name!r}]: got {column_type!r}, allowed: a type of pxt_assets.types, such as String or Json"
            raise DefinitionError(msg)
    return dict(schema)


def _known_columns(spec: dg.AssetSpec) -> tuple[str, ...] | None:
    """The upstream's columns, where its definition declares them (`dagster/column_schema`)."""
    schema = spec.metadata.get("dagster/column_schema")
    schema = getattr(schema, "schema", schema)
    return tuple(c.name for c in schema.columns) if isinstance(schema, dg.TableSchema) else None
