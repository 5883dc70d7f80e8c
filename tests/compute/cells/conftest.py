"""What the tests of cells have in common."""

import uuid

import pytest
from upath import UPath


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> UPath:
    if request.param == "memory":
        return UPath(f"memory://{uuid.uuid4().hex}/r.journal")
    return UPath(tmp_path / "r.journal")
