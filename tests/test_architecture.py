"""The rooms of the package, as `[tool.importlinter]` in pyproject.toml orders them, and that a wrong import is found."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pxt_assets"
LINT = Path(sysconfig.get_path("scripts")) / "lint-imports"


def lint(folder: Path) -> tuple[bool, str]:
    """Whether all contracts are kept by the package in a folder, and what is said of those that are not."""
    command = [str(LINT), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package and its contracts."""
    ignored = shutil.ignore_patterns("data", "docs", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "pxt_assets", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_each_room_imports_from_rooms_below_it():
    """No arrow runs back up, no circle, and below storage only the modules that are listed know Dagster."""
    kept, said = lint(ROOT)
    assert kept, said


WRONG_IMPORTS = {
    "values/digest.py": (
        "from pxt_assets.api.client import Client",
        "values.digest -> pxt_assets.api.client",
    ),
    "api/pricing.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pxt_assets.compute.partition.column",
        "api.pricing -> pxt_assets.compute.partition.column",
    ),
    "storage/rows.py": ("import pxt_assets.assets.table as above", "storage.rows -> pxt_assets.assets.table"),
    "expressions/walk.py": (
        "def later() -> None:\n    from ..functions.chat import chat_completions",
        "expressions.walk -> pxt_assets.functions.chat",
    ),
    "demo/models.py": (
        "from pxt_assets.component import scaffold",
        "demo.models -> pxt_assets.component.scaffold",
    ),
    "throttle/pace.py": ("from pxt_assets.errors import RunError", "throttle.pace -> pxt_assets.errors"),
    "throttle/probe.py": ("from pxt_assets import Table", "throttle.probe -> pxt_assets"),
    "simulator/vectors.py": (
        "from pxt_assets.values import digest",
        "simulator.vectors -> pxt_assets.values.digest",
    ),
    "files/text.py": ("import dagster", "files.text -> dagster"),
    "compute/cells/cell.py": (
        "from pxt_assets.compute.claims.claim import hold_claim",
        "compute.cells.cell -> pxt_assets.compute.claims.claim",
    ),
    "functions/messages.py": ("from pxt_assets.functions.chat import chat_completions", ".messages -> .chat"),
}
"""By module: an import that does not belong there, and what is told of it."""


def test_imports_that_do_not_belong_are_named(copy: Path):
    """Upwards, in a circle, of Dagster: of types alone, relative, inside a function, whole modules, all are told."""
    for module, (line, _) in WRONG_IMPORTS.items():
        path = copy / "pxt_assets" / module
        path.write_text(f"{path.read_text()}\n{line}\n")
    kept, said = lint(copy)
    assert not kept
    assert [named for _, named in WRONG_IMPORTS.values() if named not in " ".join(said.split())] == []


@pytest.mark.parametrize("module", ["values/digest.py", "api/pricing.py", "storage/store.py"])
def test_a_module_above_its_room_is_noticed(copy: Path, module: str):
    """A module that moves up into `assets` is missed by those below, however its importers follow it."""
    old = "pxt_assets." + module.removesuffix(".py").replace("/", ".")
    (copy / "pxt_assets" / module).rename(copy / "pxt_assets/assets/page" / Path(module).name)
    for path in (copy / "pxt_assets").rglob("*.py"):
        path.write_text(
            path.read_text().replace(f"from {old} ", f"from pxt_assets.assets.page.{Path(module).stem} ")
        )
    kept, said = lint(copy)
    assert not kept
    assert f"-> pxt_assets.assets.page.{Path(module).stem} (l." in said


def test_no_module_is_imported_by_what_it_imports():
    """No circle of any length, not even by way of a package's `__init__.py`."""
    graph = grimp.build_graph("pxt_assets", cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while ends := {module for module, imported in imports.items() if not imported}:
        imports = {module: imported - ends for module, imported in imports.items() if module not in ends}
    assert imports == {}


def test_every_folder_is_a_room_that_says_what_it_is_for():
    """A folder of modules says what it may import, and has its place among the layers."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    placed = {
        f"{container}.{room.strip()}"
        for contract in contracts
        for container in contract.get("containers", ())
        for layer in contract["layers"]
        for room in layer.split("|")
    }
    inner = {"pxt_assets.throttle.ledger", "pxt_assets.simulator.audio.sound"}
    for folder in {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}:
        init = folder / "__init__.py"
        name = ".".join(folder.relative_to(ROOT).parts)
        docstring = re.match(r'"""([^"]*)"""', init.read_text())
        assert docstring is not None, init
        assert re.search(r"\b[Ii]mport(s|ed)?\b", docstring[1]), init
        assert name in placed | inner, name
