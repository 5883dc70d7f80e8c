from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.attempt import Told
from tests.s3_server import s3_server


@pytest.fixture
def told(tmp_path) -> Iterator[Told]:
    """Where a process says how far it is."""
    told = Told(tmp_path / "told")
    yield told
    told.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """The storage options of an S3 server with a bucket `bucket`."""
    with s3_server() as options:
        yield options
