#!/usr/bin/env bash
# LanceDB 0.40.0 (with lance-namespace 0.13.0, lance-namespace-urllib3-client 0.13.0).
#
# One would expect: LanceDB is embedded. A database in a local folder needs its native extension, Arrow and numpy; the
# client of a catalog's REST API is imported by whoever connects to one.
# What happens: `import lancedb` imports the whole generated client of the Lance namespace API, some 160 modules of
# pydantic models, before any database is named. It is the largest part of what the import costs, and each process that
# touches an index pays it: steps of an orchestrator, forked or spawned workers, tests.
# Source: lancedb/db.py and lancedb/namespace.py (from lance_namespace import ...), lance_namespace/__init__.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lancedb==0.40.0 lance-namespace==0.13.0 lance-namespace-urllib3-client==0.13.0
cat > "$folder/imports.py" <<'PYTHON'
import sys
import time

import pyarrow.dataset  # what an embedded database needs is not counted

started = time.process_time()
import lance_namespace_urllib3_client

client = time.process_time() - started
started = time.process_time()
import lancedb

rest = time.process_time() - started
modules = [name for name in sys.modules if name.startswith("lance_namespace_urllib3_client")]
database = lancedb.connect(sys.argv[1])
assert database.create_table("t", [{"vector": [1.0, 2.0]}]).count_rows() == 1
print(f"{len(modules)} modules of the REST client: {client:.1f} s of CPU; all else that lancedb imports: {rest:.1f} s")
PYTHON
"$folder/venv/bin/python" "$folder/imports.py" "$folder/database"
"$folder/venv/bin/python" -c '
import sys, lancedb
loaded = [name for name in sys.modules if name.startswith("lance_namespace_urllib3_client")]
assert len(loaded) > 100, len(loaded)
print(f"import lancedb alone: {len(loaded)} of them")'
# Output seen on 2026-11-30:
# 163 modules of the REST client: 1.6 s of CPU; all else that lancedb imports: 0.5 s
# import lancedb alone: 163 of them
