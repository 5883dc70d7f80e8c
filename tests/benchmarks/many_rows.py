"""Peak memory, time and requests of a column over few rows and over very many: at first, again over unchanged rows, and
again with 1,000 rows changed.

    python tests/benchmarks/many_rows.py [--rows 10000 100000 1000000] [--embeddings 300000] [--folder FOLDER]

Each materialization is a process of its own, whose peak is VmHWM; the upstream rows are written before by another
process. A lean server without limits and without latency runs in a process of its own. With --folder what was computed
stays there, and is not computed again.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from versus import QUIET, lean_server

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL, EMBEDDING_MODEL
from pxt_assets.functions import chat_completions, embeddings

CHANGED = 1_000


def _texts(rows: int, changed: int) -> pa.Table:
    return pa.table(
        {
            "id": range(rows),
            "body": [f"{'Again' if i < changed else 'Ticket'} {i}: it broke." for i in range(rows)],
        }
    )


def _assets(kind: str, rows: int, changed: int) -> list[Any]:
    @dg.asset(name=f"rows_{rows}", io_manager_key="columns")
    def upstream() -> pa.Table:
        return _texts(rows, changed)

    tbl = Table(upstream, key="id")
    if kind == "chat":
        messages = [{"role": "user", "content": tbl.body}]
        tbl.add_computed_column(chat=chat_completions(messages, model=CHAT_MODEL, max_tokens=16))
    else:
        tbl.add_computed_column(embedding=embeddings(tbl.body, model=EMBEDDING_MODEL))
    return [upstream, *tbl.assets]


def _peak() -> int:
    """Peak resident memory of this process, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def _materialize(kind: str, rows: int, changed: int, base_url: str, folder: str, only: str) -> None:
    """In a process of its own: materializes the upstream or the column, and prints what that took as JSON."""
    assets = _assets(kind, rows, changed)
    resources = {
        "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url, ledger="memory"),
        "columns": ColumnStore(base_path=folder),
    }
    before = _peak()
    started = time.perf_counter()
    chosen = assets[0] if only == "upstream" else assets[1]
    result = dg.materialize(
        assets,
        selection=[chosen],
        resources=resources,
        instance=dg.DagsterInstance.ephemeral(),
        run_config=QUIET,
    )
    seconds = time.perf_counter() - started
    (event,) = result.get_asset_materialization_events()
    said = {
        k: v.value
        for k, v in event.materialization.metadata.items()
        if k.startswith("pxt/rows") or k == "pxt/requests"
    }
    print(json.dumps({"peak_mb": _peak(), "before_mb": before, "seconds": round(seconds, 1), **said}))


def measured(
    kind: str, rows: int, base_url: str, folder: str, only: str = "column", changed: int = 0
) -> dict[str, Any]:
    """What a materialization in a fresh process took."""
    given = [kind, str(rows), str(changed), base_url, folder, only]
    done = subprocess.run(
        [sys.executable, __file__, "--one", *given], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints a line for each materialization."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--embeddings", type=int, nargs="*", default=[300_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, rows, changed, base_url, folder, only = options.one
        _materialize(kind, int(rows), int(changed), base_url, folder, only)
        return
    jobs = [("chat", n) for n in options.rows] + [("embeddings", n) for n in options.embeddings]
    with tempfile.TemporaryDirectory() as temporary, lean_server(0.0) as base_url:
        folder = str(options.folder or temporary)
        for kind, rows in jobs:
            for run, changed in (("first", 0), ("again", 0), (f"{CHANGED:,} changed", CHANGED)):
                measured(kind, rows, base_url, folder, only="upstream", changed=changed)
                took = measured(kind, rows, base_url, folder, changed=changed)
                print(f"{kind:10} {rows:>9,} rows, {run:13}: {took}", flush=True)


if __name__ == "__main__":
    main()
