"""A table `tickets` with one computed column `c` over its `body`, materialized run after run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.storage.layout import journal_folder
from tests.runs import ask, materialize, metadata, rows_asset, stored

KEY = dg.AssetKey(["tickets", "c"])
Bodies = Mapping[Any, Any]
"""The rows: body by id."""


class Tickets:
    """The table and its column, without partitions."""

    def __init__(self, store: ColumnStore, openai: OpenAIResource) -> None:
        self.store = store
        self.openai = openai

    def assets(
        self, rows: Bodies, column: Callable[[Table], Any] | None = None, **options: Any
    ) -> list[dg.AssetsDefinition]:
        """Definitions of both for these rows; `options` are those of the column."""
        return with_column(rows_asset({"id": list(rows), "body": list(rows.values())}), column, **options)

    def run(
        self,
        rows: Bodies,
        column: Callable[[Table], Any] | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        openai: OpenAIResource | None = None,
        instance: dg.DagsterInstance | None = None,
        fails: bool = False,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materializes both."""
        return materialize(
            self.assets(rows, column, **options),
            self.store,
            openai or self.openai,
            config={"tickets/c": config} if config else None,
            instance=instance,
            fails=fails,
        )

    @property
    def path(self) -> Path:
        return Path(self.store.file(KEY).path.path)

    @property
    def journal(self) -> Path:
        return Path(journal_folder(self.store.file(KEY)).path)

    @property
    def said(self) -> dict[Any, Any]:
        """What each row was answered, by id."""
        texts = [
            None if cell is None else json.loads(cell)["choices"][0]["message"]["content"]
            for cell in self.table["c"].to_pylist()
        ]
        return dict(zip(self.table["id"].to_pylist(), texts, strict=True))

    @property
    def table(self) -> pa.Table:
        """The column as it is stored."""
        return stored(self.store, "tickets/c")

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Where the cells come from."""
        found: list[dict[str, Any]] = self.store.provenance_of(KEY).to_pylist()
        return found


class Partitions:
    """The table and its column in partitions, whose rows are `rows[partition]` and may change between runs."""

    def __init__(
        self,
        store: ColumnStore,
        openai: OpenAIResource,
        rows: dict[str, Bodies],
        column: Callable[[Table], Any] | None = None,
        **options: Any,
    ) -> None:
        self.store = store
        self.openai = openai
        self.rows = rows
        self.keys = list(rows)

        @dg.multi_asset(
            name="tickets",
            specs=[
                dg.AssetSpec(
                    "tickets", partitions_def=dg.StaticPartitionsDefinition(self.keys)
                ).with_io_manager_key("columns")
            ],
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def upstream(context: dg.AssetExecutionContext) -> Any:
            values = {
                key: pa.table(
                    {"id": list(rows[key]), "body": pa.array(list(rows[key].values()), pa.string())}
                )
                for key in context.partition_keys
            }
            return dg.MaterializeResult(value=values)

        self.assets = with_column(upstream, column, **options)

    def run(
        self,
        *partitions: str,
        config: Mapping[str, Any] | None = None,
        openai: OpenAIResource | None = None,
        only: list[str] | None = None,
        instance: dg.DagsterInstance | None = None,
        fails: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Materializes one partition, or the range of these; all of them by default."""
        partitions = partitions or (self.keys[0], self.keys[-1])
        one = partitions[0] if len(partitions) == 1 else None
        return materialize(
            self.assets,
            self.store,
            openai or self.openai,
            partition=one,
            span=None if one else (partitions[0], partitions[-1]),
            config={"tickets/c": config} if config else None,
            only=only,
            instance=instance,
            fails=fails,
        )


def with_column(
    upstream: dg.AssetsDefinition, column: Callable[[Table], Any] | None = None, **options: Any
) -> list[dg.AssetsDefinition]:
    """The upstream and its column `c`, by default a chat about `body`."""
    table = Table(upstream, key="id")
    table.add_computed_column(c=column(table) if column else ask(table.body), **options)
    return [upstream, *table.assets]


def said_of(result: dg.ExecuteInProcessResult, partition: str | None = None) -> dict[str, Any]:
    """The metadata of the column's materialization."""
    return metadata(result, "tickets/c", partition)


def figures(result: dg.ExecuteInProcessResult) -> tuple[int, int, int]:
    """Rows computed, reused and failed."""
    said = said_of(result)
    return said["pxt/rows_computed"], said["pxt/rows_reused"], said["pxt/rows_failed"]


def observations(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    """The metadata of the column's observations, by partition."""
    seen = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    return {
        one.partition: {name: value.value for name, value in one.metadata.items()}
        for one in seen
        if one.asset_key == KEY
    }


def checks(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    """The evaluations of the column's checks."""
    return [one for one in result.get_asset_check_evaluations() if one.asset_key == KEY]
