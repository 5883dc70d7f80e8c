"""Resources under keys of a table's own, and others than ours under its keys."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import dagster as dg
import openai
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, EmbeddingIndexes, OpenAIResource, Table
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import embeddings
from pxt_assets.values.types import String
from tests.index.shop import letters
from tests.runs import QUIET, ask, values
from tests.scripted_server import ScriptedServer, chat, resource_of

EU = {"openai": "openai_eu", "columns": "columns_eu", "indexes": "indexes_eu"}
ROWS = {"id": [1, 2], "body": ["a", "b"]}


def source(name: str, store: str = "columns") -> dg.AssetsDefinition:
    @dg.asset(name=name, io_manager_key=store)
    def rows() -> pa.Table:
        return pa.table(ROWS)

    return rows


def run(assets: Any, resources: Mapping[str, Any], *, fails: bool = False) -> dg.ExecuteInProcessResult:
    result = dg.materialize(assets, resources=resources, run_config=QUIET, raise_on_error=not fails)
    assert result.success is not fails
    return result


def stores(folder: Path) -> dict[str, ColumnStore]:
    return {key: ColumnStore(base_path=str(folder / key)) for key in ("columns", "columns_eu")}


def test_two_tables_use_two_accounts_and_two_stores(
    serve: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    """Each asks by its own resource and is kept in its own store, in one run."""
    here, there = serve(chat), serve(chat)
    store = stores(tmp_path)
    assets: list[Any] = []
    for name, keys in (("us", None), ("eu", EU)):
        upstream = source(name, "columns" if keys is None else "columns_eu")
        table = Table(upstream, key="id", resource_keys=keys)
        table.add_computed_column(c=ask(table.body))
        assets += [upstream, *table.assets]
    run(assets, {**store, "openai": resource_of(here), "openai_eu": resource_of(there)})
    assert (len(here.asked), len(there.asked)) == (2, 2)
    assert len(values(store["columns"], "us/c")) == len(values(store["columns_eu"], "eu/c")) == 2
    assert not store["columns"].file(dg.AssetKey(["eu", "c"])).exists()


def test_some_of_the_keys_are_enough(openai: OpenAIResource, tmp_path: Path) -> None:
    """Those that are left out are the usual ones."""
    table = Table("tickets", key="id", resource_keys={"columns": "columns_eu"})
    column = table.add_computed_column(c=ask(table.body))
    assert column.required_resource_keys - {"io_manager"} == {"openai", "columns_eu"}
    upstream = source("tickets")
    run(
        [upstream, column], {**stores(tmp_path), "openai": openai}
    )  # its input is in another store than it itself


def test_files_are_kept_under_the_tables_key(tmp_path: Path) -> None:
    """The source asset of a table of files, and its columns."""
    (tmp_path / "t.csv").write_text("id,body\n1,a\n")
    table = Table.from_files("t", str(tmp_path / "t.csv"), key="id", resource_keys={"columns": "columns_eu"})
    table.add_computed_column(c={"x": table.body})
    store = ColumnStore(base_path=str(tmp_path / "store"))
    run(table.assets, {"columns_eu": store})
    assert store.file(dg.AssetKey("t")).exists()
    assert store.file(dg.AssetKey(["t", "c"])).exists()


def test_a_lookup_needs_the_resource_that_keeps_the_index(tmp_path: Path) -> None:
    """The index lies where its own table says, whatever the searching table calls its resources."""
    past = Table(source("past"), key="id", schema={"body": String}, resource_keys={"indexes": "indexes_past"})
    index = past.add_embedding_index(past.body, embedding=letters)
    upstream = source("asked")
    asked = Table(upstream, key="id", schema={"body": String}, resource_keys={"indexes": "indexes_asked"})
    own = asked.add_embedding_index(asked.body, embedding=letters)
    found = asked.add_computed_column(near={"past": index.search(asked.body), "own": own.search(asked.body)})
    assert {"indexes_past", "indexes_asked"} <= found.required_resource_keys
    indexes = {
        f"indexes_{name}": EmbeddingIndexes(base_path=str(tmp_path / name)) for name in ("past", "asked")
    }
    store = ColumnStore(base_path=str(tmp_path / "columns"))
    run([source("past"), *past.assets, upstream, *asked.assets], {"columns": store, **indexes})
    assert '"past":[{"id":1' in values(store, "asked/near")[0].replace(" ", "")
    assert (tmp_path / "past" / "past").exists()
    assert not (tmp_path / "past" / "asked").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"openai_eu": "x"}, "got 'openai_eu', allowed: openai, columns, indexes; did you mean 'openai'?"),
        ({"openai": "my key"}, r"resource_keys\['openai'\]: got 'my key', allowed: the key of a resource"),
        ({"openai": None}, r"resource_keys\['openai'\]: got None"),
        ({"openai": "class"}, r"resource_keys\['openai'\]: got 'class'"),
        ({"openai": "columns"}, "one resource cannot be two of these"),
        ("openai_eu", "got resource_keys='openai_eu', allowed: a dict of openai, columns, indexes"),
    ],
)
def test_wrong_keys_are_refused(keys: Any, said: str, tmp_path: Path) -> None:
    """Where they are written, with what is allowed."""
    with pytest.raises(DefinitionError, match=said):
        Table("tickets", resource_keys=keys)
    with pytest.raises(DefinitionError, match=said):
        Table.from_files("tickets", str(tmp_path / "t.csv"), resource_keys=keys)


class Clients:
    """Another package's resources, which have the same names as ours."""

    class OpenAIResource(dg.ConfigurableResource[Any]):
        api_key: str = "x"

    class Manager(dg.ConfigurableIOManager):
        def handle_output(self, context: dg.OutputContext, obj: object) -> None: ...

        def load_input(self, context: dg.InputContext) -> object: ...

    class Factory(dg.ConfigurableIOManagerFactory[Any]):
        def create_io_manager(self, context: dg.InitResourceContext) -> "Clients.Manager":
            return Clients.Manager()


class PlainManager(dg.IOManager):
    def handle_output(self, context: dg.OutputContext, obj: object) -> None: ...

    def load_input(self, context: dg.InputContext) -> object: ...


WRONG = {
    "a client": ("openai", openai.OpenAI(api_key="x"), "openai.OpenAI"),
    "a text": ("openai", "sk-none", "builtins.str"),
    "a plain IO manager": ("columns", PlainManager(), "tests.PlainManager"),
    "memory": ("columns", dg.mem_io_manager, "memory, which lasts as long as its process"),
    "memory of one's own": ("columns", dg.InMemoryIOManager(), "memory, which lasts as long as its process"),
    "a resource of the same name": ("openai", Clients.OpenAIResource(), "tests.Clients.OpenAIResource"),
    "one to be configured": (
        "openai",
        Clients.OpenAIResource.configure_at_launch(),
        "tests.Clients.OpenAIResource",
    ),
    "a store under the key of the API": (
        "openai",
        ColumnStore(base_path="memory://x"),
        "pxt_assets.ColumnStore",
    ),
    "an IO manager": ("columns", Clients.Manager(), "tests.Clients.Manager"),
    "one that another makes": ("columns", Clients.Factory(), "tests.Clients.Factory"),
    "one of Dagster's": ("columns", dg.FilesystemIOManager(), "dagster.FilesystemIOManager"),
    "an older one of Dagster's": ("columns", dg.fs_io_manager, "a resource of Dagster's own"),
    "one for indexes": ("indexes", OpenAIResource(api_key="x"), "pxt_assets.OpenAIResource"),
}


def declared(resources: Mapping[str, Any], folder: Path) -> dg.Definitions:
    """Definitions of a table with a column and an index, with these resources in place of ours."""
    table = Table("tickets", key="id", schema={"body": String})
    table.add_computed_column(c=ask(table.body))
    table.add_embedding_index(table.body, embedding=embeddings.using(model="text-embedding-3-small"))
    return dg.Definitions(
        assets=[source("tickets"), *table.assets],
        resources={
            "openai": OpenAIResource(api_key="x"),
            "columns": ColumnStore(base_path=str(folder)),
            "indexes": EmbeddingIndexes(base_path=str(folder)),
            **resources,
        },
    )


@pytest.mark.parametrize("case", WRONG)
def test_another_resource_is_refused_when_definitions_load(case: str, tmp_path: Path) -> None:
    """By name, with what is allowed and what to do; also of assets that were changed after they were made."""
    key, resource, got = WRONG[case]
    definitions = declared({key: resource}, tmp_path)
    changed = definitions.map_asset_specs(func=lambda spec: spec.replace_attributes(owners=["team:a"]))
    for one in (definitions, changed):
        with pytest.raises(DefinitionError) as raised:
            dg.Definitions.validate_loadable(one)
        assert f"the resource {key!r} is {got}" in str(raised.value)
        assert ", allowed: pxt_assets." in str(raised.value)
        assert f"resource_keys={{{key!r}: ...}}" in str(raised.value)


class Special(OpenAIResource):
    """A resource of a user's own, by inheritance."""


@dg.resource
def made_by_function(_context: dg.InitResourceContext) -> OpenAIResource:
    return OpenAIResource(api_key="x")


class MadeByResource(dg.ConfigurableResource[Any]):
    def create_resource(self, context: dg.InitResourceContext) -> OpenAIResource:
        return OpenAIResource(api_key="x")


class MadeByManager(dg.ConfigurableIOManagerFactory[Any]):
    def create_io_manager(self, context: dg.InitResourceContext):  # type: ignore[no-untyped-def]
        return ColumnStore(base_path="memory://x")


@pytest.mark.parametrize(
    "resources",
    [
        {"openai": Special(api_key="x")},
        {"openai": OpenAIResource.configure_at_launch()},
        {"openai": made_by_function},
        {"openai": MadeByResource()},
        {"openai": dg.ResourceDefinition.mock_resource()},
        {"columns": MadeByManager()},
    ],
    ids=["subclass", "at launch", "function", "made", "mock", "made manager"],
)
def test_what_may_be_ours_loads(resources: Mapping[str, Any], tmp_path: Path) -> None:
    """What only a run can tell is no mistake while definitions load."""
    dg.Definitions.validate_loadable(declared(resources, tmp_path))


@pytest.mark.parametrize(
    "wrong", [MagicMock(), None, Clients.OpenAIResource()], ids=["mock", "none", "other"]
)
def test_what_only_a_run_can_tell_is_refused_there(wrong: Any, tmp_path: Path) -> None:
    """With the same message, before anything is computed."""
    table = Table("tickets", key="id")
    column = table.add_computed_column(c=ask(table.body))
    result = run(
        [source("tickets"), column],
        {
            "columns": ColumnStore(base_path=str(tmp_path)),
            "openai": dg.ResourceDefinition(lambda _context: wrong),
        },
        fails=True,
    )
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    said = failed.step_failure_data.user_failure_data
    assert said is not None
    assert said.description is not None
    assert said.description.startswith("tickets/c: the resource 'openai' is ")
    assert "allowed: pxt_assets.OpenAIResource" in said.description


def test_a_missing_resource_is_dagsters_to_tell(tmp_path: Path) -> None:
    """Its message names the key."""
    table = Table("tickets", key="id", resource_keys=EU)
    column = table.add_computed_column(c=ask(table.body))
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="openai_eu"):
        dg.materialize([column], resources={"columns_eu": ColumnStore(base_path=str(tmp_path))})
