import ast
import sys
from pathlib import Path

import pxt_assets.throttle


def test_only_the_standard_library_is_imported():
    """The limiter costs no import beyond itself."""
    for path in Path(pxt_assets.throttle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or name.startswith("pxt_assets.throttle"), (path, name)


def test_public_names_are_exported():
    """Every name in `__all__` is there, in order, and documented."""
    assert sorted(pxt_assets.throttle.__all__) == list(pxt_assets.throttle.__all__)
    for name in pxt_assets.throttle.__all__:
        assert getattr(pxt_assets.throttle, name).__doc__
