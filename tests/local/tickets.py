"""A table of rows with one column that is computed on this machine, run after run."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.values.types import Json
from tests.runs import materialize, rows_asset, stored

Make = Callable[[Table], Any]


class Tickets:
    """A table `tickets` with a column `c`, run after run."""

    def __init__(self, store: ColumnStore) -> None:
        self.store = store

    def run(
        self,
        make: Make,
        openai: OpenAIResource | None = None,
        config: dict[str, Any] | None = None,
        fails: bool = False,
        schema: Any = None,
        on_error: Any = "ignore",
        **rows: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materializes both for these columns, `body` unless there are any."""
        rows = rows or {"body": ["a", "b"]}
        rows = {"id": range(len(next(iter(rows.values())))), **rows}
        upstream = rows_asset({name: pa.array(column) for name, column in rows.items()})
        table = Table(upstream, key="id", schema=schema)
        table.add_computed_column(c=make(table), on_error=on_error)
        configs = {"tickets/c": config} if config else None
        return materialize([upstream, *table.assets], self.store, openai, config=configs, fails=fails)

    def cells(self, make: Make, **options: Any) -> list[Any]:
        """The values of `c`, Json as Python objects, and of rows that failed `(errortype, message)`."""
        self.run(make, **options)
        column = stored(self.store, "tickets/c")
        is_json = column.schema.field("c").type == Json.arrow()
        failed = zip(column["c_errortype"].to_pylist(), column["c_errormsg"].to_pylist(), strict=True)
        return [
            error if error[0] else json.loads(value) if is_json and value is not None else value
            for value, error in zip(column["c"].to_pylist(), failed, strict=True)
        ]
