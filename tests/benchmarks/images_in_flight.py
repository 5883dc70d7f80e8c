"""Peak memory of large generated images that are all asked for at once.

    python tests/benchmarks/images_in_flight.py [--rows 60] [--megabytes 8] [--latency 5]

The column is materialized in a process of its own, whose peak is VmHWM, from a lean server in another one.
"""

import argparse
import json
import subprocess
import sys
import tempfile

import dagster as dg
import pyarrow as pa
from versus import QUIET, counters, lean_server, timed

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import image_generations


def _materialize(rows: int, base_url: str) -> None:
    """In a process of its own: prints the peak as JSON."""

    @dg.asset(io_manager_key="columns")
    def scenes() -> pa.Table:
        return pa.table({"id": range(rows), "scene": [f"Scene {i}" for i in range(rows)]})

    tbl = Table(scenes, key="id")
    tbl.add_computed_column(drawn=image_generations(tbl.scene, model="gpt-image-2"))
    openai = OpenAIResource(
        api_key="sk-benchmark", base_url=base_url, ledger="memory", rate_limits={"gpt-image-2": 60_000}
    )
    found: list = []
    with tempfile.TemporaryDirectory() as folder, timed(found):
        dg.materialize(
            [scenes, *tbl.assets],
            resources={"openai": openai, "columns": ColumnStore(base_path=folder)},
            instance=dg.DagsterInstance.ephemeral(),
            run_config=QUIET,
        )
    print(json.dumps({"peak_mb": round(found[0].megabytes), "seconds": round(found[0].seconds, 1)}))


def main() -> None:
    """Prints the peak, and how many requests were in flight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--megabytes", type=float, default=8.0)
    parser.add_argument("--latency", type=float, default=5.0)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.base_url:
        _materialize(options.rows, options.base_url)
        return
    size = str(int(options.megabytes * 2**20))
    with lean_server(options.latency, "--image-bytes", size) as base_url:
        command = [sys.executable, __file__, "--rows", str(options.rows), "--base-url", base_url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        most = counters(base_url)["peak_in_flight"]
    print(
        f"{options.rows} images of {options.megabytes:g} MB, {most:.0f} in flight at most: {done.stdout.splitlines()[-1]}"
    )


if __name__ == "__main__":
    main()
