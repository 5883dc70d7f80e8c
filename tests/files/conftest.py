"""What the tests of files have in common."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Writes files of as many bytes as are said."""

    def write(*names, size=3):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        return tmp_path

    return write
