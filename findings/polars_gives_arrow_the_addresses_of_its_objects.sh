#!/usr/bin/env bash
# polars 2.1.0 with pyarrow 26.0.1.
#
# One would expect: a polars column of Python objects (UUIDs, decimals beyond 38 digits, whatever polars has no type for)
# cannot be exported by the Arrow interface, and says so; or comes out pickled, or as text.
# What happens: `pa.table(frame)` gives it as fixed_size_binary[8], without an error or a warning. The eight bytes are the
# address of the object in this process: writing the table keeps numbers that mean nothing, and an equal object has other
# ones. Look for the dtype Object before handing a frame to Arrow, and convert such columns with `.to_list()`.
# Source: the Arrow C stream of polars.DataFrame (`__arrow_c_stream__`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 pyarrow==26.0.1
cat > "$folder/objects.py" <<'PYTHON'
import uuid

import polars as pl
import pyarrow as pa

ids = [uuid.UUID(int=7), uuid.UUID(int=7)]  # equal, but two objects
frame = pl.DataFrame({"id": pl.Series(ids, dtype=pl.Object)})
column = pa.table(frame)["id"]
addresses = [id(one).to_bytes(8, "little") for one in frame["id"].to_list()]
print(column.type, column.to_pylist() == addresses, len(set(column.to_pylist())))
assert column.type == pa.binary(8)
assert column.to_pylist() == addresses
assert len(set(column.to_pylist())) == 2
PYTHON
"$folder/venv/bin/python" "$folder/objects.py"
# Output seen on 2026-11-30 (type, whether the values are the objects' addresses, how many differ of two equal UUIDs):
# fixed_size_binary[8] True 2
