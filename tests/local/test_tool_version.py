"""The version of tools: it changes with what they are and do, and with nothing else."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from typing import Any

import pytest

from pxt_assets.local.tools import tool, tools
from tests.local.weather_tools import UserFunction, get_time, get_weather


def made(source: str) -> Any:
    """A function without a file."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["f"]


def closing_over(value: Any) -> Any:
    def f() -> Any:
        return value

    return f


class TestVersion:
    def test_it_stays_while_nothing_changes(self):
        """Computed anew it is the same."""
        assert tools(get_weather, get_time).version == tools(get_weather, get_time).version

    @pytest.mark.parametrize(
        "other",
        [
            lambda: tools(get_time),
            lambda: tools(tool(get_weather, name="weather")),
            lambda: tools(tool(get_weather, description="Weather.")),
            lambda: tools(get_weather, get_time),
        ],
    )
    def test_it_changes_with_what_is_told(self, other):
        """Names, descriptions, the tools themselves."""
        assert other().version != tools(get_weather).version

    def test_it_changes_with_what_a_function_does(self):
        """With no other change."""
        versions = {tools(made(f"def f(a: int) -> int: return a {op} 2")).version for op in ("+", "-")}
        assert len(versions) == 2

    def test_it_changes_with_what_a_function_closes_over(self):
        """The same text computes something else."""
        assert tools(closing_over(1)).version == tools(closing_over(1)).version
        assert tools(closing_over(1)).version != tools(closing_over(2)).version

    def test_it_changes_with_the_version_of_a_user_defined_function(self):
        """Which its author raises."""
        one, other = UserFunction(get_weather), UserFunction(get_weather)
        other.version = "v2"
        assert tools(one).version != tools(other).version

    def test_it_is_the_same_in_every_process(self):
        """For functions without a file too, whose constants hold sets."""
        program = (
            "from pxt_assets.local.tools import tools\n"
            "def f(a: str, b: str = 'x') -> bool:\n"
            "    return a in {'x', 'y', 'z'} or any(c in {'p', 'q'} for c in b)\n"
            "print(tools(f).version)"
        )
        with redirect_stdout(io.StringIO()) as here:  # whose hashes are salted otherwise
            exec(program, {})
        other = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": "1"},
            capture_output=True,
            check=True,
            text=True,
        )
        assert here.getvalue() == other.stdout
