import gc
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dagster._config.pythonic_config import config, resource
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.runs import in_memory as runs_in_memory
from hypothesis import HealthCheck, settings

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.simulator import SimulatorOptions, SimulatorServer
from tests.crash.forked import Forks, forks
from tests.scripted_server import ScriptedServer, chat, resource_of

FORKING = ("tests/crash/", "tests/throttle/ledger/test_sql.py")
"""The tests that use `forks`."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file is run by one process, and all that fork by the same one: what they fork from takes long to start."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "forks" if file.startswith(FORKING) else file

    return ByFile(config, log)


settings.register_profile("on any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("on any machine")


def pytest_collection_finish() -> None:
    """What is imported by now stays: without it each look for garbage takes a fraction of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _certificates_read_once() -> Iterator[None]:
    """Every client reads the trusted certificates, which takes longer than the requests of a test; none uses them."""
    context = ssl.create_default_context()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpx2, "create_ssl_context", lambda **_: context)
        yield


@pytest.fixture(scope="session", autouse=True)
def _config_schemas_inferred_once() -> Iterator[None]:
    """Dagster infers the schema of a resource's config whenever one is made, of the same class the same."""
    infer: Callable[..., Any] = config.infer_schema_from_config_class
    schemas: dict[Any, Any] = {}

    def inferred(
        model: type, description: str | None = None, fields_to_omit: Any = None, default: Any = None
    ) -> Any:
        if default is not None:
            return infer(model, description=description, fields_to_omit=fields_to_omit, default=default)
        key = (model, description, frozenset(fields_to_omit or ()))
        if key not in schemas:
            schemas[key] = infer(model, description=description, fields_to_omit=fields_to_omit)
        return schemas[key]

    with pytest.MonkeyPatch.context() as patched:
        for module in (config, resource):
            patched.setattr(module, "infer_schema_from_config_class", inferred)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_migrations() -> Iterator[None]:
    """An instance in memory loads all migrations of Dagster's databases, twice, to note that it needs none of them."""
    with pytest.MonkeyPatch.context() as patched:
        for storage in (runs_in_memory, events_in_memory):
            patched.setattr(storage, "stamp_alembic_rev", lambda _config, _connection: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The ledger of runs without a Dagster instance lies in a folder of the tests, not in the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("system")))
        yield


@pytest.fixture
def store(tmp_path: Path) -> ColumnStore:
    return ColumnStore(base_path=str(tmp_path / "columns"))


@pytest.fixture(scope="session")
def _simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorOptions()) as server:
        yield server


@pytest.fixture
def simulated(_simulator: SimulatorServer) -> OpenAIResource:
    """A resource whose server is one simulator for all tests: starting one takes longer than most of them."""
    return OpenAIResource(base_url=_simulator.base_url, api_key="sk-test")


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts servers that answer as they are told, by default to any chat."""
    with ExitStack() as stack:
        yield lambda script=chat: stack.enter_context(ScriptedServer(script).running())


@pytest.fixture
def server(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """A server that answers any chat."""
    return serve()


@pytest.fixture
def openai(server: ScriptedServer) -> OpenAIResource:
    """A resource that asks `server`."""
    return resource_of(server)


@pytest.fixture(name="forks", scope="session")
def _forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Processes to signal and kill, forked from one for all tests, which takes long to start."""
    with forks(tmp_path_factory.mktemp("forks")) as started:
        yield started
