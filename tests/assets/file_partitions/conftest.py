"""A table whose partitions are its files, and its sensor, tick by tick."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, Table, udf

LONG_AGO = 1e9


@udf
def shout(text: str) -> str:
    return text.upper()


class World:
    """A folder of files, a table over it, an instance, and what the sensor said last."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, **options: Any) -> None:
        self.folder, self.instance = folder, instance
        sensor_options = {
            name: options.pop(name) for name in ("max_unfinished_runs", "settle_seconds") if name in options
        }
        pattern = options.pop("pattern", "*.csv")
        self.table = Table.from_files(
            "tickets", f"{folder}/in/{pattern}", key="id", partitions="files", **options
        )
        self.table.add_computed_column(loud=shout(self.table.body))
        self.sensor = self.table.files_sensor(**sensor_options)
        self.store = ColumnStore(base_path=str(folder / "store"))
        self.defs = dg.Definitions(
            self.table.assets, sensors=[self.sensor], resources={"columns": self.store}
        )
        self.cursor: str | None = None
        self.said: str | None = None

    def write(self, *names: str, body: str = "hello", rows: int = 2, modified: float = LONG_AGO) -> None:
        """Writes files of rows that differ by file."""
        for name in names:
            path = self.folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("id,body\n" + "".join(f"{name}-{i},{body} {name} {i}\n" for i in range(rows)))
            os.utime(path, (modified, modified))

    def tick(self, *, keep_cursor: bool = True) -> list[Sequence[str]]:
        """The partitions of each run that the sensor asks for."""
        context = dg.build_sensor_context(
            self.instance, self.cursor, definitions=self.defs, resources={"columns": self.store}
        )
        with context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        assert result.skip_reason is None or not result.run_requests
        self.said = result.skip_reason.skip_message if result.skip_reason else None
        if keep_cursor:
            self.cursor = result.cursor
        self.requests = list(result.run_requests or ())
        keys = self.keys
        return [self.partitions_of(request, keys) for request in self.requests]

    def partitions_of(self, request: dg.RunRequest, keys: Sequence[str]) -> Sequence[str]:
        if request.partition_key:
            return [request.partition_key]
        first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
        return keys[keys.index(first) : keys.index(last) + 1]

    @property
    def keys(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("tickets_files"))

    def run(self, request: dg.RunRequest, *, succeeds: bool = True) -> dg.ExecuteInProcessResult:
        """What Dagster does with a request."""
        job = self.defs.resolve_job_def(str(self.sensor.job_name))
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=succeeds,
        )
        assert result.success == succeeds
        return result

    def run_all(self) -> None:
        for request in self.requests:
            self.run(request)

    def column(self, partition: str, name: str = "loud") -> list[str]:
        rows = self.store.file(dg.AssetKey(["tickets", name]), partition).rows()
        return rows.table([name])[name].to_pylist()


MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MakeWorld]:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "in").mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield lambda **options: World(tmp_path, instance, **options)
