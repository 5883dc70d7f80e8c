"""OpenAIResource: the one shared way to the API, throttled by what its answers say."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator

from pxt_assets.api.base_url import check_base_url, names_limits
from pxt_assets.api.embedded_simulator import (
    EmbeddedSimulator,
    leave_simulator,
    read_options,
    start_simulator,
)
from pxt_assets.api.environment import EnvironmentFields, Number, is_env_var
from pxt_assets.api.known_secrets import check_api_key, resource_secrets
from pxt_assets.api.later_answers import LaterAnswers
from pxt_assets.api.ledger_url import default_ledger_url, shared_pools
from pxt_assets.api.server_name import AskedServer, OnOtherServer, asked_server
from pxt_assets.api.simulated import Simulated
from pxt_assets.errors import FatalApiError
from pxt_assets.simulator import SimulatorOptions
from pxt_assets.throttle import Pool, PoolRegistry, model_group, pools
from pxt_assets.values.scrubbing import distinct_secrets, named_secrets, scrub

if TYPE_CHECKING:
    from pxt_assets.api.client import Client
    from pxt_assets.api.request import Request
    from pxt_assets.api.transport import Transport

_log = logging.getLogger("pxt_assets")


class OpenAIResource(Simulated, LaterAnswers, EnvironmentFields, dg.ConfigurableResource[Any]):
    """The OpenAI API, or any server that speaks it, for all computed columns.

    Example:
        ```python
        resources = {"openai": OpenAIResource()}
        OpenAIResource(rate_limits={"whisper-1": 500})
        OpenAIResource(base_url="http://gpu:8000/v1", api_key="-")
        OpenAIResource(
            base_url="https://NAME.openai.azure.com/openai",
            api_version="2025-04-01-preview",
        )
        OpenAIResource(
            base_url=dg.EnvVar("GATEWAY_URL"),
            max_in_flight=dg.EnvVar.int("GATEWAY_CONNECTIONS"),
        )
        OpenAIResource.simulated(rpm=500, tpm=200_000)
        ```

    Any field may be an environment variable. It is read when a run starts, or when the resource is first used outside of
    Dagster, and checked then.

    Chat and embeddings follow the rate-limit headers of the API's answers. Endpoints whose answers carry none
    (moderations) are paced evenly at `rate_limits[model]` requests/minute, `default_rpm` where none is given.
    """

    model_config = ConfigDict(hide_input_in_errors=True, extra="forbid")  # secrets are among the inputs

    api_key: str = Field(default=dg.EnvVar("OPENAI_API_KEY"), repr=False, description="The API key.")
    base_url: str | None = Field(default=None, description="Another server than api.openai.com.")
    organization: str | None = Field(
        default=None, description="The organization that requests are counted for."
    )
    project: str | None = Field(default=None, description="The project that requests are counted for.")
    api_version: str | None = Field(
        default=None, description="Azure's API version; makes this an Azure client."
    )
    rate_limits: dict[str, Number] = Field(
        default={}, description="Requests/minute of models whose answers carry no rate-limit headers."
    )
    default_rpm: Number = Field(
        default=600, gt=0, description="Requests/minute of such models not in rate_limits."
    )
    model_groups: dict[str, str] = Field(
        default={},
        description="Models that share a rate limit although their names do not tell: {model: group}.",
    )
    batch_queue_tokens: dict[str, Number] = Field(
        default={},
        description="Tokens of batches that may be on their way at once, by model; by default what the API's refusals name.",
    )
    max_in_flight: int = Field(default=1_000, ge=1, description="Requests in flight at once, at most.")
    max_batch: int | None = Field(
        default=None,
        ge=1,
        description="Texts that one request of embeddings carries, at most; by default as many as the server takes, which "
        "its refusals tell, up to 2,048.",
    )
    timeout: Number = Field(default=600, gt=0, description="Seconds to wait for an answer.")
    max_retries: int = Field(
        default=5,
        ge=0,
        description="How often a fault (5xx, timeout, dropped connection) is retried; 429s do not count.",
    )
    retry_unknown: int = Field(
        default=1,
        ge=0,
        description="How often images and speech are asked for again whose answer was lost (timeout, dropped "
        "connection): each time may have been paid for.",
    )
    outage_timeout: Number = Field(
        default=300,
        gt=0,
        description="Seconds for which a server that answers nothing but faults is waited for before the run fails.",
    )
    on_other_server: OnOtherServer = Field(
        default="reuse",
        description="What becomes of finished rows that another server answered than the one at base_url: 'reuse' keeps "
        "them and warns, 'recompute' asks for them anew, 'fail' ends the run before it asks anything.",
    )
    ledger: str | None = Field(
        default=None,
        repr=False,  # its URL may hold a password
        description="Where processes that share a key keep what is left of its rate limits: a SQLAlchemy URL of SQLite or "
        "PostgreSQL, 'memory' for this process alone. By default a SQLite file in the instance's storage directory.",
    )
    simulator: dict[str, Any] | None = Field(
        default=None, description="Options of the embedded simulator; set by OpenAIResource.simulated()."
    )

    _server: EmbeddedSimulator | None = PrivateAttr(default=None)
    _storage: Path | None = PrivateAttr(default=None)
    _ledger_url: str | None = PrivateAttr(default=None)
    _read: OpenAIResource | None = PrivateAttr(default=None)
    """Outside of runs, the resource with its environment variables read."""
    _server_lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, base_url: str | None) -> str | None:
        if base_url is not None and not is_env_var(base_url):
            check_base_url(base_url, ValueError)
        return base_url

    @field_validator("rate_limits", "batch_queue_tokens")
    @classmethod
    def _check_limits(cls, limits: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        for model, limit in limits.items():
            if not (is_env_var(limit) or limit > 0):
                unit = "requests/minute" if info.field_name == "rate_limits" else "tokens"
                msg = f"{info.field_name}[{model!r}]: got {limit}, allowed: more than 0 {unit}"
                raise ValueError(msg)
        return limits

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    @contextlib.asynccontextmanager
    async def client(self, say: Callable[[str], None] | None = None) -> AsyncIterator[Client]:
        """The client, for use within the running event loop; outages are reported to `say`, by default the log.

        Raises FatalApiError without a key, RunError for a ledger that is no database URL, DagsterInvalidConfigError for an
        environment variable that is not set, ValueError for one whose value is not allowed.
        """
        async with self._with_environment_read()._client(say) as client:
            yield client

    def asked_server(self) -> AskedServer:
        """The server that is asked, and what becomes of another's answers. Raises as `client` for environment variables."""
        read = self._with_environment_read()
        is_simulator, is_azure = read.simulator is not None, read.api_version is not None
        return asked_server(read.base_url, read.on_other_server, simulated=is_simulator, azure=is_azure)

    def known_secrets(self) -> tuple[str, ...]:
        """What must not be shown: the key, passwords in URLs, and what the environment holds for the client."""
        key, *urls = (None if is_env_var(one) else one for one in (self.api_key, self.base_url, self.ledger))
        return resource_secrets(key if self.simulator is None else None, urls)

    def _with_environment_read(self) -> OpenAIResource:
        """The resource with its environment variables read, which Dagster does in runs only."""
        if self._read is not None:
            return self._read
        read = self.with_environment()
        if read is not self:
            read._storage = self._storage
            if self.simulator is not None:
                self._read = read  # one server for all uses
        return read

    @contextlib.asynccontextmanager
    async def _client(self, say: Callable[[str], None] | None) -> AsyncIterator[Client]:
        from pxt_assets.api.client import Client

        registry = self._pool_registry()
        async with self._opened() as (transport, secrets):
            yield Client(
                transport,
                partial(
                    self._pool_of,
                    registry,
                    from_few=self.simulator is None and not names_limits(transport.base_url.host),
                ),
                max_in_flight=self.max_in_flight,
                max_retries=self.max_retries,
                timeout=self.timeout,
                outage_timeout=self.outage_timeout,
                retry_unknown=self.retry_unknown,
                max_batch=self.max_batch,
                say=lambda text: (say or _log.warning)(scrub(text, secrets)),
                secrets=secrets,
            )

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Transport, tuple[str, ...]]]:
        """What requests are sent by, and what texts must not show. Raises FatalApiError without a key."""
        check_api_key(self.api_key)
        transport = self._transport()
        named = named_secrets(transport.headers) if self.simulator is None else ()
        try:
            yield transport, distinct_secrets([*self.known_secrets(), *named])
        finally:
            await transport.close()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remembers the storage directory of the Dagster instance; touches nothing."""
        if context.instance is not None and not context.instance.is_ephemeral:
            self._storage = Path(context.instance.storage_directory())

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Stops the embedded simulator, if this process started one, and returns what is leased."""
        with self._server_lock:
            server, self._server = self._server, None
            ledger, self._ledger_url = self._ledger_url, None
        if ledger is not None:
            from pxt_assets.throttle.ledger import open_ledger

            open_ledger(ledger).close()
        if server is not None:
            leave_simulator(server)

    def _transport(self) -> Transport:
        """What requests are sent by. Raises FatalApiError for a URL that is none, ValueError where Azure's is missing."""
        from pxt_assets.api.transport import transport
        from pxt_assets.api.wire import asked_url

        url = asked_url(self._base_url(), azure=self.api_version is not None)
        check_base_url(url, FatalApiError, "base_url, or OPENAI_BASE_URL in the environment,")
        given = (self.api_key.strip(), self.organization, self.project, self.api_version)
        return transport(url, *given, timeout=self.timeout, most=self.max_in_flight)

    def _base_url(self) -> str | None:
        if self.simulator is None:
            return self.base_url
        with self._server_lock:
            if self._server is None or not self._server.is_here():
                self._server = start_simulator(self._simulator_options(), self._storage)
            return self._server.base_url

    def _simulator_options(self) -> SimulatorOptions:
        """The simulator's options, with environment variables read. Raises RunError for one that is not set, or is wrong."""
        return read_options(self.simulator)

    def _pool_registry(self) -> PoolRegistry:
        """The pools of limits that requests use. Raises RunError for a ledger that cannot be opened."""
        is_alone = self.simulator is not None and self._storage is None  # no other process has its limits
        if self.ledger is None and is_alone:
            return pools
        registry, self._ledger_url = shared_pools(self.ledger, lambda: default_ledger_url(self._storage))
        return registry

    def _pool_of(self, registry: PoolRegistry, request: Request, *, from_few: bool = False) -> Pool:
        group = self._model_group(request.model)
        unset = None if request.endpoint.sends_limits else self.default_rpm
        rpm = self.rate_limits.get(request.model, self.rate_limits.get(group, unset))
        return registry.get((self._account_id(), group), rpm=rpm, from_few=from_few)

    def _model_group(self, model: str) -> str:
        family = model_group(model)
        return self.model_groups.get(model, self.model_groups.get(family, family))

    def _account_id(self) -> str:
        """A digest that names the account whose limits are shared, without showing its key; a simulator's is marked."""
        if self._server is not None:
            return self._server.account
        parts = (self.base_url or "", self.api_key, self.organization or "", self.project or "")
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
