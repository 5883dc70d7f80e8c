#!/usr/bin/env bash
# pyarrow 26.0.1, duckdb 2.0.1, polars 2.1.0: a Parquet file with a column of the type JSON.
#
# One would expect: what has the logical type JSON has been checked by whoever wrote it, and readers of the file agree on
# what JSON is: `json_valid` of DuckDB is true for a cell exactly where Polars can decode it, by RFC 8259.
# What happens: pyarrow checks nothing when text is cast to `pa.json_()`, and the readers differ both ways. DuckDB calls
# `{"a": NaN}`, `{"a": Infinity}`, `{"a": 1e999}` and `{"a": 1,}` valid and reads numbers from them; Polars refuses the
# whole column for any of them. The escape of half a surrogate pair, which the grammar of RFC 8259 allows (section 8.2
# warns of it) and Python's `json.dumps` writes, is the other way round: Polars decodes it, DuckDB calls it malformed and
# one such cell fails every scan of the column. What both should read must have neither.
# Source: https://www.rfc-editor.org/rfc/rfc8259#section-8.2, https://duckdb.org/docs/stable/data/json/overview,
#   https://arrow.apache.org/docs/format/CanonicalExtensions.html#json
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
cat > "$folder/readers.py" <<'PYTHON'
import json
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

file = sys.argv[1]
STRICT = json.dumps({"a": 1})
CELLS = {
    "plain": STRICT,
    "NaN": '{"a": NaN}',
    "Infinity": '{"a": Infinity}',
    "1e999": '{"a": 1e999}',
    "last comma": '{"a": 1,}',
    "half a pair": json.dumps({"a": "\ud800"}),
}


def polars_decodes(cell):
    kind = pl.String if "ud8" in cell else pl.Float64
    try:
        pl.Series([STRICT if kind == pl.Float64 else '{"a": "b"}', cell]).str.json_decode(pl.Struct({"a": kind}))
    except pl.exceptions.ComputeError:
        return False
    return True


seen = {}
for name, cell in CELLS.items():
    column = pa.array([STRICT, cell]).cast(pa.json_())  # checks nothing
    pq.write_table(pa.table({"j": column}), file)
    assert "JSON" in str(duckdb.sql(f"describe select j from '{file}'").fetchall())
    try:
        read = [row[0] for row in duckdb.sql(f"select j->>'a' from '{file}'").fetchall()]
    except duckdb.Error as error:
        read = type(error).__name__
    valid = duckdb.execute("select json_valid(?)", [cell]).fetchall()[0][0]
    seen[name] = (valid, polars_decodes(cell))
    print(f"{name:12s} valid in DuckDB: {valid!s:6s}read as: {read!s:28s}decoded by Polars: {seen[name][1]}")
assert seen == {
    "plain": (True, True),
    "NaN": (True, False),
    "Infinity": (True, False),
    "1e999": (True, False),
    "last comma": (True, False),
    "half a pair": (False, True),
}, seen
PYTHON
"$folder/venv/bin/python" "$folder/readers.py" "$folder/cells.parquet"
# Output seen on 2026-11-30:
# plain        valid in DuckDB: True  read as: ['1', '1']                  decoded by Polars: True
# NaN          valid in DuckDB: True  read as: ['1', 'NaN']                decoded by Polars: False
# Infinity     valid in DuckDB: True  read as: ['1', 'Infinity']           decoded by Polars: False
# 1e999        valid in DuckDB: True  read as: ['1', '1e999']              decoded by Polars: False
# last comma   valid in DuckDB: True  read as: ['1', '1']                  decoded by Polars: False
# half a pair  valid in DuckDB: False read as: InvalidInputException       decoded by Polars: True
