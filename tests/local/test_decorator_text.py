"""Where a function runs is no part of its source."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pxt_assets.local.udf import LocalFunction

BODY = "\ndef f(texts: list[str]) -> list[str]:\n    return [text + '¡' for text in texts]\n"


def version_of(decorators: str, folder: Path) -> Any:
    """The version of a function with these decorators, in a module of its own."""
    file = folder / "written.py"
    file.write_text(
        "import functools\nimport pxt_assets\nfrom pxt_assets import udf, udf as local\n"
        "def other(**_):\n    return lambda f: f\n" + decorators + BODY
    )
    spec = importlib.util.spec_from_file_location(f"written_{abs(hash(decorators))}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.f, LocalFunction)
    return module.f.version


@pytest.mark.parametrize(
    ("placed", "plain"),
    [
        ('@udf(batch_size=64, on="processes")', "@udf(batch_size=64)"),
        ('@udf(on="processes", batch_size=64, workers=2)', "@udf(batch_size=64)"),
        ('@udf(\n    batch_size=64,\n    on="ray",\n    workers=2,\n)', "@udf(batch_size=64)"),
        ('@udf(batch_size=64, version="1 ¡", on="processes")', '@udf(batch_size=64, version="1 ¡")'),
        ('@pxt_assets.udf(batch_size=64, on="processes")', "@pxt_assets.udf(batch_size=64)"),
        ('@local(batch_size=64, on="processes")', "@local(batch_size=64)"),
        (
            '@udf(batch_size=64, on="processes")\n@other(on="weekdays")',
            '@udf(batch_size=64)\n@other(on="weekdays")',
        ),
    ],
)
def test_a_function_keeps_its_version_when_it_is_moved(placed, plain, tmp_path):
    """However the decorator is written: what threads computed stays."""
    assert version_of(placed, tmp_path) == version_of(plain, tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('@udf(batch_size=64, on="processes")', '@udf(batch_size=64, version="1", on="processes")'),
        (
            '@udf(batch_size=64, on="processes")\n@other(on="weekdays")',
            '@udf(batch_size=64, on="processes")\n@other(on="weekends")',
        ),
    ],
)
def test_all_else_of_its_source_counts(one, other, tmp_path):
    """As of any function."""
    assert version_of(one, tmp_path) != version_of(other, tmp_path)
