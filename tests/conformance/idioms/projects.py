"""The two projects of the table of conformance: `tickets`, and over it `tickets/shout`, plain or a computed column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, Table, udf
from tests.runs import QUIET

UPSTREAM = dg.AssetKey("tickets")
COLUMN = dg.AssetKey(["tickets", "shout"])
BODIES = {"1": "late", "2": "broken"}


@dataclass
class Project:
    """Assets and resources of one project."""

    upstream: dg.AssetsDefinition
    column: dg.AssetsDefinition
    table: Table | None
    """Of the computed column; None in the plain project."""
    resources: dict[str, Any]
    shouted: list[str]
    """The texts that the column's function was called with."""
    instance: dg.DagsterInstance

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        return [self.upstream, self.column]

    @property
    def loadable(self) -> object:
        """What a user leaves in a module beside the upstream asset: the table, or the plain asset."""
        return self.table if self.table is not None else self.column

    @property
    def reference(self) -> Any:
        """How a user refers to the column in other assets: `tbl.shout`, or the plain asset."""
        return self.table.shout if self.table is not None else self.column

    def definitions(self, *more: Any, **options: Any) -> dg.Definitions:
        """Definitions of all assets and `more`."""
        return dg.Definitions(
            **{"assets": [*self.assets, *more], "resources": self.resources, **options},
        )

    def materialize(self, *more: Any, fails: bool = False, **options: Any) -> dg.ExecuteInProcessResult:
        """One run of all assets and `more`."""
        result = dg.materialize(
            [*self.assets, *more],
            **{
                "resources": self.resources,
                "instance": self.instance,
                "run_config": QUIET,
                "raise_on_error": not fails,
                **options,
            },
        )
        assert result.success is not fails
        return result


class NewProject(Protocol):
    """Makes a project, of which all arguments are those of both assets."""

    def __call__(
        self,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        upstream_partitions_def: dg.PartitionsDefinition[Any] | None = None,
        backfill_policy: dg.BackfillPolicy | None = None,
        **of_column: Any,
    ) -> Project:
        """`of_column` are options of the column, with the names that `dg.asset` gives them."""


class Shelf(dg.IOManager):
    """A plain IO manager: keeps values by asset and partition; of several partitions it takes and gives a dict."""

    def __init__(self) -> None:
        self.values: dict[tuple[tuple[str, ...], str | None], Any] = {}

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        keys = context.asset_partition_keys if context.has_asset_partitions else [None]
        for key in keys:
            self.values[self._path(context), key] = obj[key] if len(keys) > 1 else obj

    def load_input(self, context: dg.InputContext) -> Any:
        keys = context.asset_partition_keys if context.has_asset_partitions else [None]
        found = {key: self.values[self._path(context), key] for key in keys}
        return found if len(keys) > 1 else found[keys[0]]

    def _path(self, context: dg.InputContext | dg.OutputContext) -> tuple[str, ...]:
        """The key of the asset, or what identifies an op's output."""
        return tuple(context.asset_key.path if context.has_asset_key else context.get_identifier())


def new_plain_project(instance: dg.DagsterInstance) -> NewProject:
    """Makes projects with a plain asset and a plain IO manager."""
    shelf = Shelf()

    def new(
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        upstream_partitions_def: dg.PartitionsDefinition[Any] | None = None,
        backfill_policy: dg.BackfillPolicy | None = None,
        **of_column: Any,
    ) -> Project:
        shouted: list[str] = []
        mapping = of_column.pop("partition_mapping", None)

        def shout_all(rows: pa.Table) -> pa.Table:
            shouted.extend(rows["body"].to_pylist())
            return pa.table(
                {"id": rows["id"], "shout": [text.upper() for text in rows["body"].to_pylist()]},
            )

        @dg.asset(
            key=COLUMN,
            ins={"rows": dg.AssetIn(UPSTREAM, partition_mapping=mapping)},
            io_manager_key="columns",
            partitions_def=partitions_def,
            backfill_policy=backfill_policy,
            **of_column,
        )
        def shout(context: dg.AssetExecutionContext, rows: Any) -> Any:
            several = context.has_partition_key_range and len(context.partition_keys) > 1
            if several:
                return {key: shout_all(rows_of_partition(key)) for key in context.partition_keys}
            if isinstance(rows, Mapping):
                rows = pa.concat_tables(rows.values())
            return shout_all(rows)

        upstream = _upstream(upstream_partitions_def or partitions_def, backfill_policy)
        return Project(upstream, shout, None, {"columns": shelf}, shouted, instance)

    return new


def new_computed_project(folder: Path, instance: dg.DagsterInstance) -> NewProject:
    """Makes projects with a computed column."""

    def new(
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        upstream_partitions_def: dg.PartitionsDefinition[Any] | None = None,
        backfill_policy: dg.BackfillPolicy | None = None,
        **of_column: Any,
    ) -> Project:
        shouted: list[str] = []

        @udf
        def upper(text: str) -> str:
            shouted.append(text)
            return text.upper()

        upstream = _upstream(upstream_partitions_def or partitions_def, backfill_policy)
        if upstream_partitions_def is None:
            table = Table(upstream, key="id")
        else:  # given by its key, it passes no partitions on
            table = Table(UPSTREAM, key="id", partitions_def=partitions_def)
        column = table.add_computed_column(shout=upper(table.body), **of_column)
        resources = {"columns": ColumnStore(base_path=str(folder))}
        return Project(upstream, column, table, resources, shouted, instance)

    return new


def _upstream(
    partitions_def: dg.PartitionsDefinition[Any] | None, backfill_policy: dg.BackfillPolicy | None
) -> dg.AssetsDefinition:
    @dg.asset(
        key=UPSTREAM,
        io_manager_key="columns",
        partitions_def=partitions_def,
        backfill_policy=backfill_policy if partitions_def else None,
    )
    def tickets(context: dg.AssetExecutionContext) -> Any:
        if not context.assets_def.partitions_def:
            return pa.table({"id": list(BODIES), "body": list(BODIES.values())})
        keys = context.partition_keys
        return rows_of_partition(keys[0]) if len(keys) == 1 else {key: rows_of_partition(key) for key in keys}

    return tickets


def rows_of_partition(key: str) -> pa.Table:
    """The upstream's rows of a partition: of each one others."""
    return pa.table(
        {
            "id": [f"{row} on {key}" for row in BODIES],
            "body": [f"{body} on {key}" for body in BODIES.values()],
        }
    )


def said(value: Any) -> list[tuple[str, str]]:
    """The rows of the column as it was loaded, in whatever form: (id, shout)."""
    if isinstance(value, dg.MaterializeResult):
        value = value.value
    if isinstance(value, Mapping):
        return [row for one in value.values() for row in said(one)]
    if hasattr(value, "to_table"):
        value = value.to_table()
    rows = value.to_pylist() if isinstance(value, pa.Table) else value
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else rows
    return [(row["id"], row["shout"]) for row in rows]


def materialized(result: dg.ExecuteInProcessResult) -> Sequence[tuple[str, str | None]]:
    """The assets that a run recorded, with their partitions, in order."""
    return sorted(
        (
            (event.asset_key.to_user_string(), event.partition)
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        ),
        key=str,
    )
