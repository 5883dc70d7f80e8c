import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.throttle.ledger.postgres import binaries

ROWS = 8
"""Of each partition."""
HERE = Path(__file__).parent


def missing() -> str | None:
    """What these tests need and do not find, or None."""
    if importlib.util.find_spec("dagster_celery") is None:
        return "dagster-celery is not installed: pip install -e '.[test-distributed]' in an environment of its own"
    if importlib.util.find_spec("dagster_postgres") is None:
        return "dagster-postgres is not installed: pip install -e '.[test-distributed]'"
    if shutil.which("redis-server") is None:
        return "needs Redis (Debian: redis-server)"
    return "needs PostgreSQL's server binaries (Debian: postgresql)" if binaries() is None else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, and skips them where something is missing, unless PXT_REQUIRE_DISTRIBUTED is set."""
    lacking = None if os.environ.get("PXT_REQUIRE_DISTRIBUTED") else missing()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.distributed)
            if lacking:
                item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Deployment"]:  # noqa: F821
    """One for all tests: starting its processes takes longer than most of them."""
    from tests.distributed.celery_deployment import celery_deployment

    with celery_deployment(tmp_path_factory.mktemp("deployment"), ROWS) as running:
        yield running
