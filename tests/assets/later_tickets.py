"""A table whose answers come later, a simulator whose clock a test turns, and the sensor that collects them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.assets.columns.coming_answers import records_folder
from tests.runs import ask, materialize
from tests.simulated_clock import turn_clock

Rows = Mapping[str, str]
"""Body by id."""
Columns = Callable[[Table], None]


def answer_and_text(table: Table) -> None:
    """Two columns: `c`, an answer, and `a`, its text."""
    table.add_computed_column(c=ask(table.body), within="24h")
    table.add_computed_column(a=table.c.choices[0].message.content)


class LaterTickets:
    """The tables `tickets`, run after run; rows are `rows`, or `rows[partition]`, and may change between runs."""

    def __init__(
        self,
        store: ColumnStore,
        openai: OpenAIResource,
        rows: dict[str, Any],
        columns: Columns = answer_and_text,
        *,
        instance: dg.DagsterInstance,
        partitions_def: dg.PartitionsDefinition[Any] | None = None,
        collects: bool = True,
        **collector: Any,
    ) -> None:
        self.store, self.openai, self.rows = store, openai, rows
        self.instance = instance

        @dg.asset(
            io_manager_key="columns",
            partitions_def=partitions_def,
            backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
        )
        def tickets(context: dg.AssetExecutionContext) -> Any:
            if partitions_def is None:
                return _rows(self.rows)
            values = {key: _rows(self.rows[key]) for key in context.partition_keys}
            return values if len(values) > 1 else next(iter(values.values()))

        self.table = Table(tickets, key="id")
        columns(self.table)
        self.assets = [tickets, *self.table.assets]
        self.sensor = self.table.collector(**collector) if collects else None
        self.cursor: str | None = None

    def run(
        self,
        partition: str | None = None,
        *,
        span: tuple[str, str] | None = None,
        only: Sequence[str] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        fails: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Materializes the table and its columns, or some of them."""
        return materialize(
            self.assets,
            self.store,
            self.openai,
            partition=partition,
            span=span,
            only=only,
            config=config,
            instance=self.instance,
            fails=fails,
        )

    def tick(self, definitions: dg.Definitions | None = None, **context: Any) -> dg.SensorResult:
        """What the sensor says now."""
        assert self.sensor is not None
        given = {"instance": self.instance, "resources": self.resources, **context}
        with dg.build_sensor_context(cursor=self.cursor, definitions=definitions, **given) as built:
            said = self.sensor(built)
        assert isinstance(said, dg.SensorResult)
        self.cursor = said.cursor
        return said

    def asked(self, **context: Any) -> list[tuple[Any, list[str]]]:
        """The runs that the sensor asks for now: partition, or first and last of a range, and names of columns."""
        return [
            (
                one.partition_key
                or tuple(value for name, value in one.tags.items() if "partition_range" in name)
                or None,
                [key.to_user_string() for key in one.asset_selection or ()],
            )
            for one in self.tick(**context).run_requests or ()
        ]

    @property
    def resources(self) -> dict[str, Any]:
        return {"columns": self.store, "openai": self.openai}

    def let_time_pass(self, seconds: float, column: str = "tickets/c") -> None:
        """Turns the simulator's clock, and makes what is on record of a column older."""
        assert self.openai.base_url is not None
        turn_clock(self.openai.base_url, seconds)
        folder = Path(records_folder(self.store, dg.AssetKey(column.split("/"))).path)
        for path in folder.glob("*.json"):
            record = json.loads(path.read_text())
            for name in ("created_at", "submitted_at"):
                record[name] = record[name] and record[name] - seconds
            path.write_text(json.dumps(record))
        for path in folder.glob("*.polled"):
            poll = json.loads(path.read_text())
            path.write_text(json.dumps({**poll, "at": poll["at"] - seconds}))


def _rows(rows: Rows) -> pa.Table:
    return pa.table({"id": list(rows), "body": pa.array(list(rows.values()), pa.string())})


def observed(result: dg.ExecuteInProcessResult, asset: str = "tickets/c") -> dict[str | None, dict[str, Any]]:
    """The metadata of the observations of an asset, by partition."""
    seen = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    return {
        one.partition: {name: value.value for name, value in one.metadata.items()}
        for one in seen
        if one.asset_key.to_user_string() == asset
    }


def materialized(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    """The assets and partitions that a run stored, the table's own left out."""
    return [
        (event.asset_key.to_user_string(), event.partition)
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None and len(event.asset_key.path) > 1
    ]
