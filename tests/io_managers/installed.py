"""IO managers of Dagster's integrations, which are tested where they are installed."""

import importlib
import os
from typing import Any

import pytest


def installed(module: str) -> Any:
    """The module; skips the whole test file where it is not installed, unless PXT_REQUIRE_IO_MANAGERS says it must be."""
    if os.environ.get("PXT_REQUIRE_IO_MANAGERS"):
        return importlib.import_module(module)
    return pytest.importorskip(
        module, reason=f"{module} is not installed: pip install -e '.[test-io-managers]'"
    )
