"""The package as a whole: what importing it does, what it exports, what its page for contributors names."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pxt_assets
from pxt_assets import functions

ROOT = Path(__file__).parents[1]
HEAVY = (
    "PIL",
    "aiohttp",
    "docstring_parser",
    "fsspec",
    "genai_prices",
    "jsonschema",
    "numpy",
    "openai",
    "opentelemetry",
    "pandas",
    "pyarrow",
    "rich",
    "starlette",
    "upath",
    "uvicorn",
)


def loaded(statement: str) -> tuple[set[str], int]:
    """The modules that a statement imports beyond Dagster's own, and the threads that run after it."""
    program = (
        "import sys, threading, dagster\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*(set(sys.modules) - before))\n"
        "print(threading.active_count())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules, threads = done.stdout.splitlines()[-2:]
    return set(modules.split()), int(threads)


def test_importing_the_package_is_light():
    """Its names load none of the libraries that only a run needs, and start no thread."""
    modules, threads = loaded("from pxt_assets import *")
    assert "pxt_assets.assets.table" in modules
    assert modules.isdisjoint(HEAVY)
    assert threads == 1


def test_the_command_line_answers_before_dagster_is_loaded():
    """A name of the package is loaded when it is first asked for, its public modules too."""
    program = (
        "import sys, pxt_assets.cli.commands; assert 'dagster' not in sys.modules\n"
        "pxt_assets.types.Image; assert pxt_assets.Table; assert 'Table' in dir(pxt_assets)\n"
        "pxt_assets.Tabel"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "module 'pxt_assets' has no attribute 'Tabel'" in done.stderr


def test_loading_the_demos_definitions_connects_to_nothing():
    """Definitions load without the client, the simulator's server, or a table being read."""
    modules, threads = loaded("from pxt_assets.demo.definitions import defs; defs()")
    assert modules.isdisjoint({"openai", "aiohttp", "starlette", "uvicorn", "pyarrow", "pandas"})
    assert threads == 1


@pytest.mark.parametrize("module", [pxt_assets, functions])
def test_every_public_name_is_documented_with_an_example(module):
    """What is exported says what it is, and shows how it is used."""
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert "Example:" in (inspect.getdoc(getattr(module, name)) or ""), name


def test_the_page_for_contributors_names_what_there_is():
    """Every file and class that pxt_assets/README.md names exists."""
    package = ROOT / "pxt_assets"
    page = (package / "README.md").read_text()
    code = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name in re.findall(r"`([\w/]+\.py|(?:\w+/)+)`", page):
        assert any((folder / name).exists() for folder in (ROOT, package)) or list(package.rglob(name)), name
    for name in re.findall(r"`@?(?:\w+\.)?(_?[A-Z]\w+|[a-z]+_\w+)(?:\(.*?\))?`", page):
        assert re.search(rf"(class|def) {name}\b|{name} ?=", code), name
