"""Options that a column has as any asset of Dagster's: what Dagster is told, and what is refused."""

import json
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table, udf
from pxt_assets.assets.declarations.asset_options import AssetOptions
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_options import ASSET_OPTIONS
from pxt_assets.functions import chat_completions, moderations
from pxt_assets.storage.store import LAZY_TAG
from tests.assets.declared_tickets import spec
from tests.index.shop import letters

RETRY = dg.RetryPolicy(max_retries=2, delay=1)
K8S = {"container_config": {"resources": {"requests": {"memory": "2Gi"}}}}
DAYS = dg.StaticPartitionsDefinition(["mon", "tue"])


def parents(asset: dg.AssetsDefinition) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in spec(asset).deps}


def test_what_dagster_is_told(tbl: Table) -> None:
    """A user's values stand beside those that a column has of its own."""
    asset = tbl.add_computed_column(
        c=moderations(tbl.body),
        retry_policy=RETRY,
        op_tags={"dagster-k8s/config": K8S},
        metadata={"runbook": "https://example.com"},
        kinds={"gateway"},
        tags={"team": "a"},
    )
    declared = spec(asset)
    assert declared.metadata["runbook"] == "https://example.com"
    assert declared.metadata["dagster/storage_kind"] == "parquet"
    assert declared.kinds == {"gateway", "openai", "text", "parquet"}
    assert (declared.tags["team"], declared.tags["pxt/udf"]) == ("a", "moderations")
    assert asset.op.retry_policy == RETRY
    assert json.loads(asset.op.tags["dagster-k8s/config"]) == K8S
    assert asset.op.tags[LAZY_TAG] == "true"


def test_the_factory_takes_the_same_options(tbl: Table) -> None:
    """And so does add_embedding_index, for the index and its vectors."""
    asset = moderations.asset(
        name="c", table=tbl, input=tbl.body, retry_policy=RETRY, metadata={"a": 1}, deps=["x"]
    )
    assert (asset.op.retry_policy, spec(asset).metadata["a"]) == (RETRY, 1)
    assert parents(asset) == {"tickets", "x"}
    tbl.add_embedding_index(
        tbl.body, embedding=letters, retry_policy=RETRY, metadata={"a": 1}, kinds={"k"}, deps=["y"]
    )
    vectors, index = tbl.assets[-2:]
    assert vectors.op.retry_policy == index.op.retry_policy == RETRY
    assert (spec(index).metadata["a"], spec(index).kinds) == (1, {"lancedb", "k"})
    assert "y" in parents(index) - parents(vectors)


def test_every_option_is_known_to_the_factory() -> None:
    """An option that it did not know it would send to the API."""
    others = {"cache", "checks", "if_exists", "max_cost_usd", "on_error", "within"}
    assert AssetOptions.__annotations__.keys() | others == ASSET_OPTIONS


@pytest.mark.parametrize(
    "dep",
    [
        "raw/glossary",
        dg.AssetKey(["raw", "glossary"]),
        dg.AssetSpec(["raw", "glossary"]),
        dg.AssetDep(["raw", "glossary"]),
        dg.asset(key_prefix="raw", name="glossary")(lambda: None),
        Table("raw/glossary"),
    ],
    ids=lambda dep: type(dep).__name__,
)
def test_deps_are_further_assets_upstream(tbl: Table, dep: Any) -> None:
    """However they are given; they are no inputs."""
    asset = tbl.add_computed_column(c=moderations(tbl.body), deps=[dep])
    assert parents(asset) == {"tickets", "raw/glossary"}
    assert [dep.asset_key.path[-1] for dep in spec(asset).deps].count("tickets") == 1


def test_a_column_may_be_a_dep(tbl: Table) -> None:
    """One that is read already changes nothing."""
    tbl.add_computed_column(a=moderations(tbl.body))
    asset = tbl.add_computed_column(b=moderations(tbl.body), deps=[tbl.a, tbl.body])
    assert parents(asset) == {"tickets", "tickets/a"}


def test_a_dep_may_have_a_partition_mapping() -> None:
    """As Dagster has it."""
    table = Table("tickets", key="id", partitions_def=DAYS)
    mapping = dg.AllPartitionMapping()
    asset = table.add_computed_column(
        c=moderations(table.body), deps=[dg.AssetDep("glossary", partition_mapping=mapping)]
    )
    assert asset.get_partition_mapping_for_dep(dg.AssetKey("glossary")) == mapping


def test_a_backfill_policy_is_the_columns_own() -> None:
    """Others have the table's; without partitions there is none."""
    table = Table("tickets", key="id", partitions_def=DAYS)
    of_table = table.add_computed_column(a=moderations(table.body))
    own = table.add_computed_column(b=moderations(table.body), backfill_policy=dg.BackfillPolicy.multi_run(1))
    assert of_table.backfill_policy == dg.BackfillPolicy.single_run()
    assert own.backfill_policy == dg.BackfillPolicy.multi_run(1)
    plain = Table("tickets", key="id")
    column = plain.add_computed_column(
        c=moderations(plain.body), backfill_policy=dg.BackfillPolicy.single_run()
    )
    assert column.backfill_policy is None


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"retry_policy": 3}, r"got retry_policy=3, allowed: a dg.RetryPolicy\(max_retries=..., delay=...\)"),
        ({"op_tags": "x"}, "got op_tags='x', allowed: a dict"),
        (
            {"op_tags": {LAZY_TAG: "no"}},
            "got op_tags with 'pxt_assets/lazy'; names that begin with pxt_assets/",
        ),
        ({"metadata": ["x"]}, r"got metadata=\['x'\], allowed: a dict"),
        ({"metadata": {"pxt/rows": 1}}, "got metadata with 'pxt/rows'; names that begin with pxt/"),
        ({"kinds": "gateway"}, "got kinds='gateway', allowed: a list of texts"),
        ({"deps": "glossary"}, "got deps='glossary', allowed: a list of assets, keys or columns"),
        ({"deps": [3]}, "got int 3 among its deps, allowed: a column"),
        ({"deps": ["tickets/c"]}, "got itself among its deps"),
        (
            {"deps": [dg.AssetDep("tickets", partition_mapping=dg.AllPartitionMapping())]},
            "got tickets with a partition mapping among its deps, but it is read; give partition_mapping=",
        ),
        ({"backfill_policy": "single_run"}, "got backfill_policy='single_run', allowed: a dg.BackfillPolicy"),
    ],
)
def test_values_of_another_kind_are_refused(tbl: Table, option: dict[str, Any], said: str) -> None:
    """Where they are written, with what is allowed; no column comes to be."""
    with pytest.raises(DefinitionError, match=said) as raised:
        tbl.add_computed_column(c=moderations(tbl.body), **option)
    assert "tickets" in str(raised.value)
    assert not tbl.assets


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"retry_polcy": RETRY},
            "got retry_polcy=RetryPolicy.*, which is no option; .*did you mean 'retry_policy'",
        ),
        ({"retries": 3}, "got retries=3, which is no option; .*retry_policy=dg.RetryPolicy"),
        ({"code_version": "1"}, "got code_version='1', which is no option; .*made of its expression"),
        ({"partitions_def": DAYS}, "got partitions_def=.*; a column has the table's partitions"),
        ({"io_manager_key": "x"}, "got io_manager_key='x'.*resource_keys"),
        (
            {"hello": "world"},
            "got hello='world', which is no option; allowed: automation_condition, backfill_policy",
        ),
    ],
)
def test_an_unknown_option_says_so(tbl: Table, given: dict[str, Any], said: str) -> None:
    """It is not taken for a second column."""
    with pytest.raises(DefinitionError, match=said):
        tbl.add_computed_column(c=moderations(tbl.body), **given)
    assert not tbl.assets


@pytest.mark.parametrize("given", ["retry_polcy", "code_version", "io_manager_key", "tag"])
def test_a_slip_is_not_sent_to_the_api(tbl: Table, given: str) -> None:
    """The factory gives what it does not know to the function; what looks like an option it refuses."""
    with pytest.raises(DefinitionError, match=f"chat_completions.asset: got {given}='x', which is no option"):
        chat_completions.asset(name="c", table=tbl, messages=tbl.body, model="m", **{given: "x"})


def test_an_option_without_a_column_says_so(tbl: Table) -> None:
    """Rather than that its value is no expression."""
    with pytest.raises(DefinitionError, match=r"got retry_polcy=.*did you mean 'retry_policy'"):
        tbl.add_computed_column(retry_polcy=RETRY)


def test_an_unknown_option_of_an_index_says_so(tbl: Table) -> None:
    """As of a column."""
    with pytest.raises(
        DefinitionError, match=r"body_idx: got owner='a', which is no option; .*did you mean 'owners'"
    ):
        tbl.add_embedding_index(tbl.body, embedding=letters, owner="a")  # type: ignore[call-arg]


def test_a_functions_own_argument_comes_first(tbl: Table) -> None:
    """Of a function whose argument has the name of an option, the factory means the argument."""

    @udf
    def joined(text: str, metadata: str) -> str:
        return text + metadata

    asset = joined.asset(name="c", table=tbl, text=tbl.body, metadata=tbl.subject)
    assert "metadata" in str(spec(asset).description)
    assert "metadata" not in spec(asset).metadata
