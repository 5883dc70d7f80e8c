"""The commands of `dg` in a project: tables in Python and in YAML are listed, checked and launched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = {
    "pyproject.toml": """
[project]
name = "shouting"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "shouting"
""",
    "shouting/__init__.py": "",
    "shouting/defs/__init__.py": "",
    "shouting/definitions.py": """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
""",
    "shouting/defs/resources.py": """
import os

import dagster as dg

from pxt_assets import ColumnStore


@dg.definitions
def resources():
    return dg.Definitions(resources={"columns": ColumnStore(base_path=dg.EnvVar("STORED"))})
""",
    "shouting/defs/tickets.py": """
import dagster as dg
import pyarrow as pa

from pxt_assets import Table, udf


@dg.asset(io_manager_key="columns", partitions_def=dg.StaticPartitionsDefinition(["mon", "tue"]))
def tickets() -> pa.Table:
    return pa.table({"id": ["1"], "body": ["late"]})


@udf
def upper(text: str) -> str:
    return text.upper()


tbl = Table(tickets, key="id")
tbl.add_computed_column(shout=upper(tbl.body))
""",
    "shouting/defs/letters/defs.yaml": """
type: pxt_assets.ComputedColumnsComponent
attributes:
  table: letters
  files: letters.csv
  key: id
  columns:
    - name: answer
      function: chat_completions
      arguments: {messages: [{role: user, content: $tbl.body}], model: gpt-4o-mini}
  openai: {api_key: none}
post_processing:
  assets:
    - target: "key:letters/*"
      attributes:
        group_name: mail
        owners: [team:support]
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip())
    (folder / "home").mkdir()
    (folder / "home/dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


def dg(project: Path, *command: str) -> str:
    """What a command prints."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(project / "home"),
        "STORED": str(project / "stored"),
        "PYTHONPATH": os.pathsep.join([str(project), str(ROOT)]),
    }
    program = "from dagster_dg_cli.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=project,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tables_are_listed_whole(project: Path) -> None:
    """Also those of YAML, with what its `post_processing` says of them."""
    listed = json.loads(dg(project, "list", "defs", "--json"))["assets"]
    assets = {asset["asset_key"]: asset for asset in listed}
    assert assets.keys() == {"tickets", "tickets/shout", "letters", "letters/answer"}
    assert assets["letters/answer"]["group_name"] == "mail"
    assert assets["letters/answer"]["owners"] == [{"team": "support"}]


def test_a_partition_is_launched_in_a_process_for_each_step(project: Path) -> None:
    """By the executor that Dagster takes where none is set."""
    dg(project, "launch", "--assets", 'key:"tickets"+', "--partition", "tue")
    stored = {str(path.relative_to(project / "stored")) for path in (project / "stored").rglob("*.parquet")}
    assert {path for path in stored if not path.startswith(".")} == {
        "tickets/tue.parquet",
        "tickets/shout/tue.parquet",
    }


def test_definitions_are_valid(project: Path) -> None:
    """Without a run, and without the values of environment variables."""
    dg(project, "check", "defs")
