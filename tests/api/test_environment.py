"""Fields of resources that come from the environment."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._config.field_utils import IntEnvVar

from pxt_assets import ColumnStore, EmbeddingIndexes, OpenAIResource
from pxt_assets.api.event_loop import run_to_end
from pxt_assets.errors import RunError, SourceError

FIELDS: Mapping[str, tuple[str, Any]] = {
    "api_key": ("sk-test", "sk-test"),
    "base_url": ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
    "organization": ("org", "org"),
    "project": ("proj", "proj"),
    "api_version": ("2025-04-01", "2025-04-01"),
    "default_rpm": ("30.5", 30.5),
    "max_in_flight": ("7", 7),
    "timeout": ("2.5", 2.5),
    "max_retries": ("0", 0),
    "retry_unknown": ("2", 2),
    "outage_timeout": ("9", 9.0),
    "ledger": ("memory", "memory"),
}


def used_in_a_run(resource: Any) -> Any:
    """The resource as an asset gets it."""
    seen: list[Any] = []

    @dg.asset(required_resource_keys={"it"})
    def user(context: dg.AssetExecutionContext) -> None:
        seen.append(context.resources.it)

    assert dg.materialize([user], resources={"it": resource}).success
    return seen[0]


@pytest.mark.parametrize(
    ("field", "how"),
    [
        *((field, "text") for field in FIELDS),
        *((field, "number") for field, (_, value) in FIELDS.items() if not isinstance(value, str)),
    ],
)
def test_every_field_may_be_a_variable(field: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when a run starts, whatever the field holds; until then nothing is checked of it."""
    text, value = FIELDS[field]
    variable = dg.EnvVar("PXT_TEST") if how == "text" else dg.EnvVar.int("PXT_TEST")
    resource = OpenAIResource(**{"api_key": "x", field: variable})
    monkeypatch.setenv("PXT_TEST", text)
    assert getattr(used_in_a_run(resource), field) == value
    assert getattr(resource.with_environment(), field) == value


def test_values_inside_a_field_may_be_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates and groups of models are read one by one."""
    monkeypatch.setenv("PXT_TEST_RPM", "12")
    monkeypatch.setenv("PXT_TEST_GROUP", "small")
    resource = OpenAIResource(
        api_key="x",
        rate_limits={"a": dg.EnvVar.int("PXT_TEST_RPM"), "b": 5},
        model_groups={"a": dg.EnvVar("PXT_TEST_GROUP")},
    )
    for read in (used_in_a_run(resource), resource.with_environment()):
        assert read.rate_limits == {"a": 12, "b": 5}
        assert read.model_groups == {"a": "small"}


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("base_url", "ftp://key@host", "base_url must be a whole URL"),
        ("base_url", " http://host/v1", "without blanks or line breaks around it"),
        ("base_url", "http://host/v1\n", "without blanks or line breaks around it"),
        ("base_url", "https://me:pass@host/v1", "base_url holds credentials"),
        ("max_in_flight", "0", "greater than or equal to 1"),
        ("timeout", "-1", "greater than 0"),
        ("default_rpm", "nan", "greater than 0"),
    ],
)
def test_what_is_wrong_is_told_when_the_value_is_known(
    field: str, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the field and the variable; it never holds the value."""
    resource = OpenAIResource(**{"api_key": "x", field: dg.EnvVar("PXT_TEST")})
    monkeypatch.setenv("PXT_TEST", text)
    for read in (lambda: used_in_a_run(resource), resource.with_environment):
        with pytest.raises((ValueError, dg.DagsterResourceFunctionError)) as raised:
            read()
        error = raised.value.__cause__ if isinstance(raised.value, dg.DagsterError) else raised.value
        assert str(error).startswith(f"OpenAIResource: {field} (the environment variable PXT_TEST): ")
        assert problem in str(error)
        assert text not in str(error)


@pytest.mark.parametrize("field", ["base_url", "max_in_flight", "timeout"])
def test_an_unset_variable_is_dagsters_to_tell(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Definitions load without it; the run says which variable is missing, as of any resource."""
    monkeypatch.delenv("PXT_TEST", raising=False)
    resource = OpenAIResource(**{"api_key": "x", field: dg.EnvVar("PXT_TEST")})
    for read in (lambda: used_in_a_run(resource), resource.with_environment):
        with pytest.raises(
            dg.DagsterInvalidConfigError, match='environment variable "PXT_TEST" which is not set'
        ):
            read()


def test_a_variable_that_is_no_number_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been meant for another field, the key's for one."""
    monkeypatch.setenv("PXT_TEST", "sk-secret")
    for field in ("timeout", "max_in_flight"):
        with pytest.raises(dg.DagsterInvalidConfigError, match=f"{field}.*PXT_TEST") as raised:
            used_in_a_run(OpenAIResource(**{"api_key": "x", field: dg.EnvVar.int("PXT_TEST")}))
        assert "sk-secret" not in str(raised.value)


def test_a_numeric_field_in_python_and_in_run_config_is_checked_as_before() -> None:
    """Numbers are numbers, and texts are refused where they are written."""
    assert used_in_a_run(OpenAIResource(api_key="x", timeout=3)).timeout == 3
    with pytest.raises(ValueError, match="timeout"):
        OpenAIResource(timeout="soon")  # type: ignore[arg-type]

    @dg.asset(required_resource_keys={"it"})
    def user(context: dg.AssetExecutionContext) -> float:
        return float(context.resources.it.timeout)

    launched = dg.materialize(
        [user],
        resources={"it": OpenAIResource.configure_at_launch()},
        run_config={"resources": {"it": {"config": {"api_key": "x", "timeout": 4.5}}}},
    )
    assert launched.output_for_node("user") == 4.5


def test_the_page_of_a_resource_shows_variables_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the webserver's page nor its text holds what is in them."""
    monkeypatch.setenv("PXT_TEST_SECRET", "secret")
    monkeypatch.setenv("PXT_TEST_NUMBER", "31")
    resource = OpenAIResource(
        api_key=dg.EnvVar("PXT_TEST_SECRET"),
        base_url=dg.EnvVar("PXT_TEST_SECRET"),
        timeout=dg.EnvVar.int("PXT_TEST_NUMBER"),
    )
    config = resource.get_resource_definition().config_schema.default_value
    assert config["timeout"] == {"env": "PXT_TEST_NUMBER"}
    assert config["api_key"] == config["base_url"] == {"env": "PXT_TEST_SECRET"}
    assert "EnvVar('PXT_TEST_NUMBER')" in repr(resource)
    assert "secret" not in json.dumps(config) + repr(resource)


def test_a_client_outside_of_dagster_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook there is no run that would."""
    resource = OpenAIResource(
        api_key=dg.EnvVar("PXT_TEST_KEY"), base_url=dg.EnvVar("PXT_TEST_URL"), ledger="memory"
    )

    async def asked_server() -> str:
        async with resource.client() as client:
            return str(client._transport.base_url)

    monkeypatch.setenv("PXT_TEST_KEY", "sk-test")
    monkeypatch.setenv("PXT_TEST_URL", "http://127.0.0.1:9/v1/")
    assert run_to_end(asked_server()) == "http://127.0.0.1:9/v1/"


def test_a_simulators_options_may_be_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when it starts; what is wrong is told then, an unknown one at once."""
    resource = OpenAIResource.simulated(rpm=dg.EnvVar.int("PXT_TEST_RPM"), latency=dg.EnvVar("PXT_TEST_S"))
    with pytest.raises(TypeError, match="speed"):
        OpenAIResource.simulated(speed=dg.EnvVar.int("PXT_TEST_RPM"))
    monkeypatch.setenv("PXT_TEST_RPM", "77")
    monkeypatch.setenv("PXT_TEST_S", "0.25")
    for read in (used_in_a_run(resource), resource):
        options = read._simulator_options()
        assert (options.rpm, options.latency) == (77, 0.25)
    monkeypatch.setenv("PXT_TEST_RPM", "-1")
    with pytest.raises(RunError, match="what the environment holds for rpm, latency is not allowed"):
        resource._simulator_options()


def test_a_store_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run and outside of Dagster; one that is not set is named."""
    store = ColumnStore(base_path=dg.EnvVar("PXT_TEST_PATH"), provenance=dg.EnvVar("PXT_TEST_FLAG"))  # type: ignore[arg-type]
    monkeypatch.setenv("PXT_TEST_PATH", "memory://cells")
    monkeypatch.setenv("PXT_TEST_FLAG", "false")
    used = used_in_a_run(store)
    assert used.provenance is False
    for one in (used, store):
        assert str(one.file(dg.AssetKey("a")).path) == "memory://cells/a/a.parquet"
    monkeypatch.delenv("PXT_TEST_PATH")
    with pytest.raises(
        SourceError, match="base_path of the ColumnStore: the environment variable PXT_TEST_PATH"
    ):
        store.file(dg.AssetKey("a"))


def test_indexes_and_their_way_to_the_api_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resource inside a resource, too."""
    monkeypatch.setenv("PXT_TEST_PATH", "indexes")
    monkeypatch.setenv("PXT_TEST_ROWS", "300")
    monkeypatch.setenv("PXT_TEST_SECONDS", "3")
    indexes = EmbeddingIndexes(
        base_path=dg.EnvVar("PXT_TEST_PATH"),
        vector_index_rows=dg.EnvVar.int("PXT_TEST_ROWS"),
        openai=OpenAIResource(api_key="x", timeout=dg.EnvVar.int("PXT_TEST_SECONDS")),
    )
    used = used_in_a_run(indexes)
    assert (used.base_path, used.vector_index_rows, used.openai.timeout) == ("indexes", 300, 3)
    monkeypatch.setenv("PXT_TEST_ROWS", "3")
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        used_in_a_run(indexes)
    assert "vector_index_rows (the environment variable PXT_TEST_ROWS)" in str(raised.value.__cause__)


def test_an_integer_variable_outside_of_a_run_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of file systems are handed on as they are."""
    monkeypatch.setenv("PXT_TEST_NUMBER", "3")
    variable = dg.EnvVar.int("PXT_TEST_NUMBER")
    assert isinstance(variable, IntEnvVar)
    store = ColumnStore(base_path="memory://cells", storage_options={"one": [variable, {"two": variable}]})
    assert store.root.storage_options == {"one": [3, {"two": 3}]}
