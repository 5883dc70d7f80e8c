"""Table: a handle on an upstream asset, to which computed columns are added."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

import dagster as dg

from pxt_assets.assets.automation import table_schedule
from pxt_assets.assets.collector import table_collector
from pxt_assets.assets.columns.table_columns import TableColumns
from pxt_assets.assets.declarations.asset_list import AssetList
from pxt_assets.assets.declarations.asset_options import AssetOptions, IfExists
from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.declarations.table_attributes import UpstreamAsset, table_attributes
from pxt_assets.assets.declarations.validation import Cache, OnError, check_column, only_column
from pxt_assets.assets.declarations.within import GivenWithin
from pxt_assets.assets.file_partitions.sensor import table_files_sensor
from pxt_assets.assets.indexes.index_asset import EmbeddingIndex
from pxt_assets.assets.indexes.table_indexes import TableIndexes
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.expressions.function import Function
from pxt_assets.index.embedder import embedders_from_options
from pxt_assets.index.spec import Metric
from pxt_assets.values.types import ColumnType

if TYPE_CHECKING:
    from pxt_assets.assets.declarations.file_partitions import FilePartitions


class Table(AssetList):
    """An upstream asset whose value is rows, and the columns computed from it.

    Example:
        ```python
        tbl = Table(tickets, key="id")
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"))
        tbl.add_computed_column(answer=tbl.response.choices[0].message.content)
        defs = dg.Definitions(assets=[tickets, *tbl.assets], resources={...})
        ```

    `tbl.name` and `tbl["name"]` are references to a column, upstream or computed before. Iterating gives its assets,
    `[tickets, *tbl]`; a module's tables are found with all of these where Dagster collects the module's assets.

    Args:
        asset: the upstream asset: its definition, spec, key, or the key as text (`"raw/tickets"`).
        key: the column or columns that identify a row inside a partition, unique and not null. Without a key, rows
            are identified by their position.
        schema: types of upstream columns that their data does not tell, such as Json kept as text.
        partitions_def: the partitions of the computed columns; by default those of `asset`, which only its
            definition or spec tells.
        automation_condition: when its columns run by themselves, unless they say otherwise; see `on_changed_inputs`.
        pool: the Dagster pool in which its columns run, unless they say otherwise: it limits how many run at once.
        within: how long answers may take ("24h", "8h" or "2h"), at a lower price, of its columns whose function
            has a way that takes longer, unless they say otherwise; one that has another way than this must.
        resource_keys: the keys of its resources where they are not the usual ones, for several accounts or stores in one
            code location: `{"openai": "openai_eu", "columns": "columns_eu", "indexes": "indexes_eu"}`, or some of them.

    Raises DefinitionError for what cannot be a table.
    """

    schedule = table_schedule
    collector = table_collector
    files_sensor = table_files_sensor
    _file_partitions: FilePartitions | None = None

    def __init__(
        self,
        asset: UpstreamAsset,
        *,
        key: str | Sequence[str] | None = None,
        schema: Mapping[str, type[ColumnType]] | None = None,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        automation_condition: dg.AutomationCondition[Any] | None = None,
        pool: str | None = None,
        within: GivenWithin = None,
        resource_keys: Mapping[str, str] | None = None,
    ) -> None:
        self._attributes = table_attributes(
            asset,
            key,
            schema,
            partitions_def,
            automation_condition=automation_condition,
            pool=pool,
            within=within,
            resource_keys=resource_keys,
        )
        self._indexes = TableIndexes(self, self._attributes)
        self._columns = TableColumns(self._attributes, table_indexes=self._indexes)
        self._assets: dict[dg.AssetKey, dg.AssetsDefinition] = {}

    @classmethod
    def from_files(
        cls,
        name: str,
        path: str,
        *,
        key: str | Sequence[str] | None = None,
        schema: Mapping[str, type[ColumnType]] | None = None,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        partitions: Literal["files"] | None = None,
        partition_size: str | int | None = None,
        partitions_per_run: int | None = None,
        encoding: str = "utf-8",
        separator: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        group_name: str | None = None,
        description: str | None = None,
        automation_condition: dg.AutomationCondition[Any] | None = None,
        pool: str | None = None,
        within: GivenWithin = None,
        resource_keys: Mapping[str, str] | None = None,
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
            partitions: "files" makes each file a dynamic partition, which `files_sensor` adds as it arrives.
            partition_size: with that, files are grouped up to this size a partition: "256MB", or a number of bytes.
            partitions_per_run: with that, how many partitions a run has at most; 100 by default.
            encoding: of text files.
            separator: the character between the columns of CSV files, "tab" for a tab; by default it is found out of
                each file's first lines, where it is a comma, `;`, a tab or `|`.
            storage_options: options of the fsspec file system.
            group_name: group of the source asset and, unless they say otherwise, of the columns.
            description: of the source asset.
            automation_condition: as for `Table`; the source asset has none.
            pool: as for `Table`; the source asset is in none.
            within: as for `Table`.
            resource_keys: as for `Table`; the source asset is kept under `columns`, too.

        An empty cell of a CSV file is null; `""` is an empty text. Where `;` separates the columns, numbers may have a
        decimal comma, as in 1,5 and 1.234,56. CSV and JSON Lines files may be compressed (.gz, .bz2, .xz, .zst).

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
        given = {name: value for name, value in locals().items() if name != "cls"}
        from pxt_assets.assets.files_table import files_table

        return files_table(cls, **given)

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far, for `dg.Definitions(assets=[...])`."""
        return list(self._assets.values())

    def __repr__(self) -> str:
        return f"Table({self._attributes.key.to_user_string()!r})"

    def __getattr__(self, name: str) -> ColumnRef:
        if name.startswith("_"):
            msg = f"{type(self).__name__} has no attribute {name!r}; a column of that name is written tbl[{name!r}]"
            raise AttributeError(msg)
        return self[name]

    def __getitem__(self, name: object) -> ColumnRef:
        return self._columns.known.ref(name)

    def add_computed_column(
        self,
        *,
        if_exists: IfExists = "error",
        on_error: OnError = "abort",
        partition_mapping: dg.PartitionMapping | None = None,
        automation_condition: dg.AutomationCondition[Any] | None = None,
        freshness_policy: dg.FreshnessPolicy | None = None,
        group_name: str | None = None,
        owners: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        kinds: Collection[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str | None = None,
        deps: Iterable[Any] | None = None,
        checks: Checks | None = None,
        max_cost_usd: float | None = None,
        within: GivenWithin = "table",
        cache: Cache = "auto",
        pool: str | None = None,
        retry_policy: dg.RetryPolicy | None = None,
        op_tags: Mapping[str, Any] | None = None,
        backfill_policy: dg.BackfillPolicy | None = None,
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
        `checks` says which asset checks it has. `max_cost_usd` is what a run may spend on it, in US dollars, unless the
        run config says otherwise. `pool` names a Dagster pool, which counts columns that run at once, not requests.
        With `cache="off"` OpenAI is not told which part of its prompts all rows share.

        `within` is how long an answer may take: None or "now", or "24h" by the Batch API, "8h" or "2h" by the Responses API in
        the background, each at a lower price; without it, the table's.

        `if_exists` says what to do where there is a computed column of that name: "error", "ignore" (returns it), or
        "replace", so that a cell of a notebook can be run again. Columns that are made of it then read the new one, which
        must be of the same type.

        The other options are those of a Dagster asset. `deps` are further assets upstream that it does not read: columns
        (`tbl.other`), assets or keys. A step that is retried by its `retry_policy` pays only for the rows that are missing.
        `tags`, `kinds`, `metadata` and `op_tags` are added to its own. Raises DefinitionError.
        """
        options: Any = {
            name: value for name, value in locals().items() if name in AssetOptions.__annotations__
        }
        name, expr = only_column(columns, repr(self))
        exists = self._columns.check_exists(name, if_exists)
        if exists and if_exists == "ignore":
            return self._assets[self._columns.known.ref(name)._asset]
        self._check_name(name, expr, replaces=exists)
        self._indexes.check_replacement(name, expr)
        changed = self._columns.add(
            name,
            expr,
            on_error=on_error,
            checks=checks or Checks(),
            max_cost_usd=max_cost_usd,
            within=within,
            cache=cache,
            options=options,
        )
        self._indexes.add_expression(name, expr)
        self._assets |= {asset.key: asset for asset in changed}
        return changed[0]

    def add_embedding_index(
        self,
        column: ColumnRef | str | None = None,
        *,
        embedding: Function[...] | None = None,
        string_embed: Function[...] | None = None,
        image_embed: Function[...] | None = None,
        idx_name: str | None = None,
        metric: Metric = "cosine",
        if_exists: IfExists = "error",
        columns: Sequence[str] | None = None,
        on_error: OnError = "abort",
        max_cost_usd: float | None = None,
        within: GivenWithin = "table",
        **options: Unpack[AssetOptions],
    ) -> EmbeddingIndex:
        """Adds an index over a column, kept in step with it, and returns its asset, whose key is `[*table key, idx_name]`.

        Example:
            ```python
            index = tbl.add_embedding_index(tbl.body, embedding=embeddings.using(model="text-embedding-3-small"))
            tbl.body.similarity("my parcel is late", k=3, columns=["body"])
            other.add_computed_column(context=index.search(other.question, k=5))
            ```

        The vectors are a computed column of their own, `<idx_name>_vectors`, so that they are paid for once; if the table
        has a column that is made by the same call, that one is taken. The index needs the resource `indexes`, an
        EmbeddingIndexes, and the extra `index` (LanceDB). Rows whose column is null, or failed, are not in it.

        Args:
            column: a column of texts or images, or of vectors, which are indexed as they are; by default the only one
                that is known to hold texts.
            embedding: a function that maps the column's texts or images to vectors, with one argument left:
                `embeddings.using(model=...)`, or a `@udf` that returns a numpy.ndarray.
            string_embed: the function for texts, where images have another one of the same space.
            image_embed: the function for images.
            idx_name: by default `<column>_idx`.
            metric: "cosine", "ip" (inner product) or "l2" (Euclidean distance).
            if_exists: of an index of that name "error", "ignore" (returns it) or "replace".
            columns: the columns of the table, computed ones included, that the index keeps for filters and results; by
                default the upstream's texts, numbers, dates and booleans. [] keeps the key alone.
            on_error: of the vectors: as for `add_computed_column`.
            max_cost_usd: what a run may spend on the vectors.
            within: how long the vectors may take, as for `add_computed_column`.

        The other options are those of a Dagster asset, as for `add_computed_column`: of the index and of its vectors, but
        `description`, `freshness_policy`, `kinds`, `metadata` and `deps` of the index alone. Raises DefinitionError.
        """
        index = self._indexes.add(
            self._columns.known.column_to_index(column),
            embedders_from_options(embedding, string_embed, image_embed),
            idx_name=idx_name,
            metric=metric,
            if_exists=if_exists,
            columns=columns,
            of_vectors={"on_error": on_error, "max_cost_usd": max_cost_usd, "within": within},
            options=options,
        )
        self._assets[index.key] = index
        return index

    @property
    def _has_computed_columns(self) -> bool:
        return bool(self._columns.known.computed)

    def _remove_column(self, name: str) -> None:
        del self._assets[self._columns.remove(name)]

    def _check_name(self, name: str, expr: object, *, replaces: bool = False) -> None:
        conflict = None if replaces else self._columns.known.name_conflict(name)
        conflict = conflict or self._indexes.name_conflict(name)
        reserved = {n for n in dir(Table) if not n.startswith("_")}  # `tbl.name` gives these another meaning
        check_column(name, expr, self._attributes.key, reserved, conflict, repr(self))
