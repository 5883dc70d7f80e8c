#!/usr/bin/env bash
# duckdb 2.0.1, pandas 3.1.1, numpy 2.4.6.
#
# One would expect: an ENUM looks the same wherever it stands: its word.
# What happens: a column of ENUMs comes to pandas as a categorical of words, and so do ENUMs in a STRUCT and in a MAP as
# words, but a list of ENUMs comes as an int8 array of their positions in the type, which says nothing of its words.
# fetchall() gives the words of all four.
# Source: DuckDBPyConnection.df(), DuckDBPyConnection.fetchall().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==2.0.1 pandas==3.1.1 numpy==2.4.6
cat > "$folder/moods.py" <<'PYTHON'
import duckdb

connection = duckdb.connect()
connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
query = """
    SELECT 'happy'::mood AS one, {'a': 'ok'::mood} AS struct, MAP {'k': 'ok'::mood} AS map,
           ['happy', 'sad']::mood[] AS list
"""
fetched = connection.execute(query).fetchall()
(row,) = connection.execute(query).df().to_dict("records")
print("fetchall:", fetched)
print("df:", row)
assert fetched == [("happy", {"a": "ok"}, {"k": "ok"}, ["happy", "sad"])]
assert (row["one"], row["struct"], row["map"]) == ("happy", {"a": "ok"}, {"k": "ok"})
assert row["list"].dtype == "int8"
assert row["list"].tolist() == [2, 0]
PYTHON
"$folder/venv/bin/python" "$folder/moods.py"
# Output seen on 2026-11-30:
# fetchall: [('happy', {'a': 'ok'}, {'k': 'ok'}, ['happy', 'sad'])]
# df: {'one': 'happy', 'struct': {'a': 'ok'}, 'map': {'k': 'ok'}, 'list': array([2, 0], dtype=int8)}
