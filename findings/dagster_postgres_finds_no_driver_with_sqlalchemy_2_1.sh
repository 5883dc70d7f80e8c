#!/usr/bin/env bash
# dagster-postgres 0.29.27 (Dagster 1.13.27), SQLAlchemy 2.1.9, psycopg2-binary 2.9.13, psycopg 3.3.9.
#
# One would expect: after "pip install dagster-postgres" its storages connect by psycopg2, which it depends on, to the
# URL that it makes of the settings of dagster.yaml.
# What happens: it makes a URL that begins with "postgresql://" and leaves the version of SQLAlchemy open; to SQLAlchemy
# 2.1 that means psycopg 3, which is not installed: ModuleNotFoundError. Where it is installed for something else, the
# storages connect, and the first event of a run fails, since a NOTIFY takes no parameters from the server's side:
# 'syntax error at or near "$1"'. What helps: postgres_url: postgresql+psycopg2://..., or sqlalchemy<2.1.
# Source: dagster_postgres.utils.get_conn_string, PostgresEventLogStorage.store_event.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster-postgres==0.29.27 sqlalchemy==2.1.9 psycopg2-binary==2.9.13
cat > "$folder/driver.py" <<'PYTHON'
import sqlalchemy
from dagster_postgres.utils import get_conn_string

url = get_conn_string(username="me", password="mine", hostname="127.0.0.1", db_name="dagster")
print(url.replace("mine", "***"))
try:
    sqlalchemy.create_engine(url)
except ModuleNotFoundError as e:
    print("ModuleNotFoundError:", e)
else:
    raise SystemExit("it finds a driver now")
psycopg2 = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
print("with +psycopg2:", psycopg2.driver)
assert psycopg2.driver == "psycopg2"
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/driver.py"
# Output seen on 2026-12-01:
# postgresql://me:***@127.0.0.1:5432/dagster
# ModuleNotFoundError: No module named 'psycopg'
# with +psycopg2: psycopg2
