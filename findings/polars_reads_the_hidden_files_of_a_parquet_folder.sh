#!/usr/bin/env bash
# polars 2.1.0, pyarrow 26.0.1, pandas 3.1.1, duckdb 2.0.1.
#
# One would expect: readers of a folder of Parquet files leave out what is hidden there, names that begin with a dot or
# an underscore, as writers of temporary files and of _metadata rely on.
# What happens: pyarrow and pandas leave them out; polars.scan_parquet of the folder reads them all, those in hidden
# folders too, and DuckDB's pattern *.parquet matches both kinds of names. So a file that is being written beside the
# others under a hidden name is seen by two readers of four.
# Source: pyarrow.dataset.dataset (ignore_prefixes), polars.scan_parquet, DuckDB's read_parquet.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 pyarrow==26.0.1 pandas==3.1.1 duckdb==2.0.1
cat > "$folder/hidden.py" <<'PYTHON'
import pathlib
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

rows = pathlib.Path(sys.argv[1]) / "rows"
for value, name in enumerate(["plain.parquet", ".dot.parquet", "_underscore.parquet", "_folder/inner.parquet"]):
    (rows / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"value": [value]}), rows / name)
seen = {
    "pyarrow": ds.dataset(rows).to_table()["value"].to_pylist(),
    "pandas": pd.read_parquet(rows)["value"].tolist(),
    "polars": sorted(pl.scan_parquet(rows).collect()["value"]),
    "duckdb": sorted(duckdb.sql(f"SELECT value FROM read_parquet('{rows}/*.parquet')").fetchall()),
}
print(seen)
assert seen == {"pyarrow": [0], "pandas": [0], "polars": [0, 1, 2, 3], "duckdb": [(0,), (1,), (2,)]}
PYTHON
"$folder/venv/bin/python" "$folder/hidden.py" "$folder"
# Output seen on 2026-11-30:
# {'pyarrow': [0], 'pandas': [0], 'polars': [0, 1, 2, 3], 'duckdb': [(0,), (1,), (2,)]}
