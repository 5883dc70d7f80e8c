"""Very many files as partitions: how long a listing and a tick take, and that runs of a table of any size stay small.

    python tests/benchmarks/many_files.py --files 100000               # listing and ticks
    python tests/benchmarks/many_files.py --rows 10000000 --runs-only  # runs, as the sensor asks for them

Prints seconds (and those of CPU, which others on the machine hardly change) for the listing of so many files in memory and
on disk and for the sensor's first and second tick, and of each run the rows a second and the memory of the process at its
highest so far (MB), which is flat after the first run. The table's files are Parquet of 10,000 rows; with `--column` a local function makes a column of each row.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pxt_assets import ColumnStore, Table, udf
from pxt_assets.files.listing import list_files

ROWS_A_FILE = 10_000
LONG_AGO = 1e9


@udf(batch_size=1_000)
def length(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def timed(what: str, act: Callable[[], object]) -> object:
    start, cpu = time.perf_counter(), time.process_time()
    found = act()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{what}: {seconds:.2f} s, of which {cpu:.2f} s of CPU", flush=True)
    return found


class Sensed:
    """A table over a folder, its sensor, and an instance."""

    def __init__(self, pattern: str, folder: Path, per_run: int, *, column: bool) -> None:
        self.table = Table.from_files("events", pattern, partitions="files", partitions_per_run=per_run)
        if column:
            self.table.add_computed_column(length=length(self.table.body))
        self.sensor = self.table.files_sensor(settle_seconds=0)
        self.store = ColumnStore(base_path=str(folder / "store"))
        self.defs = dg.Definitions(
            self.table.assets, sensors=[self.sensor], resources={"columns": self.store}
        )
        home = folder / "home"
        home.mkdir(parents=True)
        self.instance = dg.DagsterInstance.local_temp(str(home))
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            self.instance, self.cursor, definitions=self.defs, resources={"columns": self.store}
        )
        with context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or ())

    def run(self, request: dg.RunRequest) -> None:
        job = self.defs.resolve_job_def(str(self.sensor.job_name))
        done = job.execute_in_process(
            instance=self.instance, partition_key=request.partition_key, tags=dict(request.tags)
        )
        assert done.success


def names(files: int) -> list[str]:
    return [f"{i // 1000:03}/{i:06}.parquet" for i in range(files)]


def measure_listing(files: int, folder: Path) -> None:
    fs = fsspec.filesystem("memory")
    for name in names(files):
        fs.pipe(f"/many/{name}", b"x")
    listed = timed(
        f"{files:,} files in memory listed", lambda: list_files("memory://many/**/*.parquet", {}, {})
    )
    assert isinstance(listed, dict)
    assert len(listed) == files
    for name in names(files):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    pattern = f"{folder}/in/**/*.parquet"
    timed(f"{files:,} files on disk listed", lambda: list_files(pattern, {}, {}))
    sensed = Sensed(pattern, folder, 100, column=False)
    timed("first tick, which adds them all", sensed.tick)
    timed("second tick, of what is known", sensed.tick)


def measure_runs(rows: int, folder: Path, per_run: int, *, column: bool) -> None:
    (folder / "in").mkdir(parents=True)
    files = max(1, rows // ROWS_A_FILE)
    for i in range(files):
        ids = range(i * ROWS_A_FILE, (i + 1) * ROWS_A_FILE)
        body = pa.array([f"the {n}th of very many rows, as long as a short question" for n in ids])
        pq.write_table(pa.table({"id": pa.array(ids), "body": body}), folder / "in" / f"{i:06}.parquet")
    sensed = Sensed(f"{folder}/in/*.parquet", folder, per_run, column=column)
    stored = started = 0.0
    while requests := sensed.tick():
        for request in requests:
            start = time.perf_counter()
            sensed.run(request)
            seconds = time.perf_counter() - start
            done = min(per_run, files - int(stored / ROWS_A_FILE)) * ROWS_A_FILE
            stored, started = stored + done, started + seconds
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
            print(f"{stored:,.0f} rows: {done / seconds:,.0f} rows/s, peak {peak:,.0f} MB", flush=True)
    key = dg.AssetKey(["events", "length"]) if column else dg.AssetKey("events")
    partitions = sensed.instance.get_dynamic_partitions("events_files")
    assert sum(sensed.store.file(key, one).num_rows for one in partitions) == files * ROWS_A_FILE
    print(f"{stored:,.0f} rows in {started:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--partitions-per-run", type=int, default=100)
    parser.add_argument("--column", action="store_true")
    parser.add_argument("--listing-only", action="store_true")
    parser.add_argument("--runs-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if not given.runs_only:
            measure_listing(given.files, Path(made) / "listing")
        if not given.listing_only:
            measure_runs(given.rows, Path(made) / "runs", given.partitions_per_run, column=given.column)
