"""A table of texts with an embedding index, materialized run after run, and embeddings that can be foretold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from pxt_assets import ColumnStore, EmbeddingIndex, EmbeddingIndexes, OpenAIResource, Table, udf
from pxt_assets.values.types import Array, String
from tests.runs import materialize, metadata

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@udf
def letters(text: str) -> Array[(3,), np.float32]:
    """How often a, b and c stand in a text."""
    return np.array([text.count(letter) for letter in "abc"], np.float32)


def texts(bodies: Mapping[Any, str | None], **more: Sequence[Any]) -> pa.Table:
    """Rows: body by id, and further columns."""
    columns: dict[str, Any] = {"id": list(bodies), "body": pa.array(list(bodies.values()), pa.string())}
    return pa.table({**columns, **more})


class Shop:
    """Tickets, by day or without partitions, with the index `body_idx` over their bodies."""

    def __init__(self, folder: Path, openai: OpenAIResource | None = None, **indexes: Any) -> None:
        self.store = ColumnStore(base_path=str(folder / "columns"))
        self.openai = openai
        self.indexes = EmbeddingIndexes(base_path=str(folder / "indexes"), openai=openai, **indexes)
        self.rows: dict[str | None, pa.Table] = {}

    def table(
        self, *, by_day: bool = False, key: str | None = "id", name: str = "tickets", **schema: Any
    ) -> Table:
        """The table, whose rows are those of `rows` when it is materialized."""

        @dg.asset(
            name=name,
            partitions_def=DAYS if by_day else None,
            backfill_policy=dg.BackfillPolicy.single_run() if by_day else None,
            io_manager_key="columns",
        )
        def source(context: dg.AssetExecutionContext) -> Any:
            if not by_day:
                return self.rows[None]
            return {key: self.rows[key] for key in context.partition_keys}

        self.source = source
        return Table(source, key=key, schema={"body": String, **schema})

    def run(self, tbl: Table, *, days: Sequence[str] = (), fails: bool = False, **options: Any) -> Any:
        """One run of everything, of these days."""
        span = (days[0], days[-1]) if len(days) > 1 else None
        return materialize(
            [self.source, *tbl.assets],
            self.store,
            self.openai,
            partition=days[0] if len(days) == 1 else None,
            span=span,
            resources={"indexes": self.indexes},
            fails=fails,
            **options,
        )

    def index(self, bodies: Mapping[Any, str | None], **options: Any) -> tuple[Table, EmbeddingIndex]:
        """A table of these bodies, indexed by their letters."""
        self.rows[None] = texts(bodies)
        tbl = self.table()
        index = tbl.add_embedding_index(tbl.body, embedding=letters, **options)
        self.run(tbl)
        return tbl, index

    def database(self) -> Any:
        """The LanceDB database of the table's indexes."""
        import lancedb  # which takes seconds, and other tests than those of indexes do without

        return lancedb.connect(f"{self.indexes.base_path}/tickets")

    def found(self, tbl: Table, query: Any, **options: Any) -> list[Any]:
        """The keys of the nearest rows."""
        return tbl.body.similarity(query, indexes=self.indexes, **options)["id"].to_pylist()


def told(result: Any, day: str | None = None, asset: str = "tickets/body_idx") -> dict[str, Any]:
    """The metadata of the index's materialization."""
    return metadata(result, asset, day)
