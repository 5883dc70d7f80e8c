"""The `dg` commands, in a project of their own; they run in this process, except for what they start themselves."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster_dg_cli.cli import cli

PYPROJECT = """
[project]
name = "pxt_test_shop"
version = "0.1.0"
requires-python = ">=3.11"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "pxt_test_shop"
"""
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
TYPE = "pxt_assets.ComputedColumnsComponent"

Dg = Callable[..., Result]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project, into whose definitions a component was scaffolded."""
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").write_text(PYPROJECT)
    package = root / "src" / "pxt_test_shop"
    (package / "defs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        patched.setattr(
            sys, "path", [sys.path[0], str(root / "src"), *sys.path[1:]]
        )  # dg takes the first away
        patched.setenv("PYTHONPATH", str(root / "src"))
        patched.setenv("DAGSTER_HOME", "")
        patched.delenv("OPENAI_API_KEY", raising=False)
        yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "pxt_test_shop"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def dg(root: Path) -> Dg:
    def dg(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, arguments)
        assert (result.exit_code != 0) is fails, result.output
        return result

    return dg


@pytest.fixture(scope="module")
def scaffolded(root: Path, dg: Dg) -> Path:
    dg("scaffold", "defs", TYPE, "tickets")
    return root / "src" / "pxt_test_shop" / "defs" / "tickets" / "defs.yaml"


def test_the_component_is_listed(dg):
    """`dg list components` finds it by the package's entry point, with its summary."""
    listed = json.loads(dg("list", "components", "--package", "pxt_assets", "--json").stdout)
    assert [item["key"] for item in listed["items"]] == [TYPE]
    assert listed["items"][0]["summary"].startswith("A table, and columns computed from it")


def test_its_schema_is_shown(dg):
    """`dg utils inspect-component` shows what it takes."""
    shown = dg("utils", "inspect-component", TYPE).stdout
    schema = json.loads(shown.partition("Component schema:")[2])
    assert {"table", "files", "schema", "partitions", "openai", "columns"} <= schema["properties"].keys()


def test_what_is_scaffolded_loads(dg, scaffolded):
    """It has comments, names the table after the folder, needs no key and costs nothing."""
    text = scaffolded.read_text()
    assert text.startswith(f"type: {TYPE}\n")
    assert "# " in text
    dg("check", "yaml")
    defs = json.loads(dg("list", "defs", "--json").stdout)
    assert [asset["asset_key"] for asset in defs["assets"]] == [
        "tickets",
        "tickets/answer",
        "tickets/response",
    ]
    assert {resource["name"] for resource in defs["resources"]} == {"openai__tickets", "columns__tickets"}
    line = 1 + text[: text.index("- name: answer")].count("\n")
    assert defs["assets"][1]["source"].endswith(f"tickets/defs.yaml:{line}")


def test_mistakes_are_found_by_dg_check(dg, scaffolded):
    """Those of the document's form by `dg check yaml`, those of its contents by `dg check defs`, with their lines."""
    text = scaffolded.read_text()
    line = 1 + text[: text.index("on_error")].count("\n")
    scaffolded.write_text(text.replace("on_error: ignore", "on_eror: ignore"))
    assert f"defs.yaml:{line}" in dg("check", "yaml", fails=True).output
    scaffolded.write_text(text.replace("$tbl.response", "$tbl.resp nse"))
    dg("check", "yaml")
    line = 1 + text[: text.index("value:")].count("\n")
    found = dg("check", "defs", fails=True)
    assert f"defs.yaml:{line}: Table('tickets').answer" in found.output
    scaffolded.write_text(text)
