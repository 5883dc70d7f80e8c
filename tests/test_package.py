"""The package as a whole: what importing it does, what it exports, what its README promises."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import pxt_assets
from pxt_assets import functions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
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


@pytest.mark.parametrize("ending", ["pxt-assets demo", "pytest"])
def test_the_readme_has_the_two_commands(ending):
    """One line sets up and runs the demo, one sets up and passes the tests."""
    assert len(re.findall(rf"^python3 -m venv .*&& {ending}$", README, re.MULTILINE)) == 1


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_readmes_python_runs_as_it_stands(block):
    """Each Python block of the README can be pasted into a file; its definitions load."""
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    definitions = namespace.get("defs")
    if isinstance(definitions, dg.Definitions):
        dg.Definitions.validate_loadable(definitions)


def test_no_model_of_the_readme_is_named_elsewhere():
    """The models that the README and the demo use are those that the demo sets in one place."""
    from pxt_assets.demo import models

    used = set(re.findall(r"model=\"([^\"]+)\"", README))
    assert used <= {value for name, value in vars(models).items() if name.endswith("_MODEL")}


def test_the_readmes_figures_are_figures():
    """Each row of the table of figures says a number that was measured."""
    table = re.search(r"\| what \| measured \| by \|\n(?:\|.*\n)+", README)
    for row in table[0].splitlines()[2:]:
        assert re.search(r"\d", row.split("|")[2]), row


def test_the_page_for_contributors_names_what_there_is():
    """Every file and class that pxt_assets/README.md names exists."""
    package = ROOT / "pxt_assets"
    page = (package / "README.md").read_text()
    code = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name in re.findall(r"`([\w/]+\.py|(?:\w+/)+)`", page):
        assert any((folder / name).exists() for folder in (ROOT, package)) or list(package.rglob(name)), name
    for name in re.findall(r"`@?(?:\w+\.)?(_?[A-Z]\w+|[a-z]+_\w+)(?:\(.*?\))?`", page):
        assert re.search(rf"(class|def) {name}\b|{name} ?=", code), name
