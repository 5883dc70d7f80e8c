"""Where `pxt-assets gc` looks for code locations that nobody named."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pxt_assets import OpenAIResource
from pxt_assets.cli.commands import main
from tests.store_to_clean import StoreToClean

NOTHING = "this was a dry run"


@pytest.fixture
def folder(tmp_path: Path, openai: OpenAIResource, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The present folder, with definitions of a store in `definitions.py`, and nothing that names them."""
    bench = StoreToClean(tmp_path, openai)
    bench.gc(whole=True)
    (bench.folder / "workspace.yaml").rename(bench.folder / "moved.yaml")
    monkeypatch.chdir(bench.folder)
    monkeypatch.setenv("STORE", bench.store.base_path)
    yield bench.folder
    sys.modules.pop("definitions", None)


def gc(*options: str) -> Result:
    return CliRunner().invoke(main, ["gc", *options])


def test_a_folder_that_names_none_is_said_with_what_to_pass(folder: Path) -> None:
    """Where it looked, and -m, -f and -w."""
    done = gc()
    assert done.exit_code == 1
    for words in (
        str(folder),
        "pyproject.toml",
        "workspace.yaml",
        "-m MODULE",
        "-f FILE",
        "-w workspace.yaml",
    ):
        assert words in done.stderr
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "its pyproject.toml has no [tool.dagster] or [tool.dg] block" in gc().stderr


@pytest.mark.parametrize("name", ["workspace.yaml", "workspace.yml"])
def test_a_workspace_file_is_found(folder: Path, name: str) -> None:
    """As by `dagster dev`; it is said which."""
    (folder / "moved.yaml").rename(folder / name)
    done = gc()
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == f"code locations of {folder / name}"
    assert NOTHING in done.stdout


@pytest.mark.parametrize(
    "block",
    [
        '[tool.dagster]\nmodule_name = "definitions"',
        '[tool.dagster]\nmodules = [{ type = "module", name = "definitions" }]',
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "x"\n'
        'code_location_target_module = "definitions"',
    ],
    ids=["module", "modules", "dg"],
)
def test_a_project_file_is_found_before_a_workspace(folder: Path, block: str) -> None:
    """As by `dagster dev`."""
    (folder / "pyproject.toml").write_text(block)
    (folder / "workspace.yaml").write_text("load_from:\n  - python_file: nowhere.py\n")
    done = gc()
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"code locations of {folder / 'pyproject.toml'}"
    assert NOTHING in done.stdout


def test_a_project_file_without_a_code_location_is_said(folder: Path) -> None:
    """A workspace of `dg` names projects, which are loaded each in an environment of its own."""
    (folder / "pyproject.toml").write_text('[tool.dg]\ndirectory_type = "workspace"\n')
    done = gc()
    assert done.exit_code == 1
    assert "names no code location that could be loaded" in done.stderr
    assert "-m MODULE" in done.stderr


def test_variables_of_the_env_file_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Definitions that need them load as by `dagster dev`."""
    (folder / ".env").write_text(f"STORE={folder / 'store'}\n")
    monkeypatch.delenv("STORE")
    done = gc("-f", "definitions.py")
    assert done.exit_code == 0, done.stderr
    assert NOTHING in done.stdout


def test_only_one_way_to_name_them_is_taken(folder: Path) -> None:
    """Half of what was named would count as gone."""
    done = gc("-f", "definitions.py", "-m", "definitions")
    assert done.exit_code == 2
    assert "got more than one of -m, -f and -w" in done.stderr
