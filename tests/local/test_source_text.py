import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pxt_assets.local.source_text import version_of

MODULE = """
def f(x: str, n: int = 2) -> str:
    return x * n
"""


def version_in_process(folder: Path, source: str, seed: str) -> str:
    """The version of `f` in a module of this source, as another process sees it."""
    (folder / "own.py").write_text(source)
    program = "import own; from pxt_assets.local.source_text import version_of; print(version_of(own.f))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def version_in_module(folder: Path, source: str, given: str | None = None) -> str:
    """The version of `f` in a module of this source."""
    path = folder / f"own_{len(list(folder.iterdir()))}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("own", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return version_of(module.f, given)


def repeating(n: object) -> Callable[..., Any]:
    def f(x: str) -> str:
        return x * n  # type: ignore[operator]

    return f


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def typed(source: str) -> Callable[..., Any]:
    """A function without a file, as one typed into a shell."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["f"]


def test_it_begins_with_the_name():
    """People see in a code version whose it is."""
    assert version_of(repeating(1)).startswith("f:")


def test_it_is_frozen(tmp_path):
    """Results of earlier releases are found again."""
    assert version_in_module(tmp_path, MODULE) == "f:e4714feafe0b8ed5dc4945fdb148e844"
    assert version_in_module(tmp_path, MODULE, "1") == "f:ef6ba2e82f83661a65aa1340e9521ee9"


def test_it_is_the_same_in_every_process(tmp_path):
    """So results are found again."""
    assert version_in_process(tmp_path, MODULE, seed="1") == version_in_module(tmp_path, MODULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * n", "x + x"),
        ("n: int = 2", "n: int = 3"),
        ("-> str", "-> list"),
        ("def f", "@staticmethod\ndef f"),
    ],
    ids=["body", "default", "hint", "decorator"],
)
def test_it_changes_with_the_source(old, new, tmp_path):
    """Of any part of the function."""
    assert version_in_module(tmp_path, MODULE.replace(old, new)) != version_in_module(tmp_path, MODULE)


@pytest.mark.parametrize("elsewhere", ["N = 1\n", "def g():\n    return 1\n", "\n\n\n"])
def test_it_stays_when_the_rest_of_the_module_changes(elsewhere, tmp_path):
    """Lines before it move it, and change nothing of what it computes."""
    assert version_in_module(tmp_path, elsewhere + MODULE) == version_in_module(tmp_path, MODULE)


def test_it_changes_with_the_version_that_is_given():
    """By which an author tells of a change elsewhere."""
    versions = {version_of(repeating(1), version) for version in (None, "1", "2")}
    assert len(versions) == 3


def test_it_changes_with_what_a_function_closes_over():
    """The same text computes something else."""
    assert version_of(repeating(1)) == version_of(repeating(1))
    assert version_of(repeating(1)) != version_of(repeating(2))


def test_it_changes_with_what_a_wrapped_function_closes_over():
    """A decorator hides nothing."""
    assert version_of(logged(repeating(1))) == version_of(logged(repeating(1)))
    assert version_of(logged(repeating(1))) != version_of(logged(repeating(2)))
    assert version_of(functools.cache(repeating(1))) != version_of(functools.cache(repeating(2)))


def test_what_is_no_constant_is_left_out():
    """An object's address is another in each process."""
    assert version_of(repeating(object())) == version_of(repeating(object()))


def test_a_variable_without_a_value_is_left_out():
    """A function may close over what is assigned later."""

    def f() -> int:
        return later

    before = version_of(f)
    later = 1
    assert version_of(f) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x + 1", "x + 2"),
        ("x in {1, 2}", "x in {1, 3}"),
        ("[y for y in x]", "[y + 1 for y in x]"),
        ("len(x)", "sum(x)"),
    ],
)
def test_a_function_without_a_file_is_told_by_its_code(one, other):
    """Constants, inner functions and names included."""
    assert version_of(typed(f"def f(x): return {one}")) == version_of(typed(f"def f(x): return {one}"))
    assert version_of(typed(f"def f(x): return {one}")) != version_of(typed(f"def f(x): return {other}"))


def test_lone_surrogates_are_no_obstacle():
    """Neither in the source nor in the version."""
    assert version_of(repeating("\ud800"), "\ud800") != version_of(repeating("\ud801"), "\ud800")
