"""The run config of a column: what the launchpad shows, and what a run takes."""

from typing import Any

import dagster as dg
import pytest
from dagster._config.validate import process_config

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.assets.columns.column_config import ColumnConfig
from tests.runs import ask, failure
from tests.tickets import Tickets, said_of

NONE = {"limit": None, "max_cost_usd": None}


def test_the_launchpad_shows_every_option(store: ColumnStore, openai: OpenAIResource) -> None:
    """It fills in what options have as a default; those without any it leaves out."""
    table = Table("tickets", key="id")
    table.add_computed_column(c=ask(table.body))
    definitions = dg.Definitions(table.assets, resources={"columns": store, "openai": openai})
    schema = definitions.resolve_implicit_global_asset_job_def().run_config_schema.run_config_schema_type
    assert process_config(schema, {}).value["ops"]["tickets__c"]["config"] == {
        "limit": 0,
        "refresh": False,
        "retry_errors": True,
        "dry_run": False,
        "max_cost_usd": 0.0,
        "within": "",
        "wait": None,
    }


def test_the_launchpad_says_that_0_is_none() -> None:
    """At the beginning, since it shows a 0 that looks like a limit."""
    told = {name: str(field.description) for name, field in ColumnConfig.model_fields.items()}
    assert {name for name, text in told.items() if text.startswith("0 is none: ")} == {
        "limit",
        "max_cost_usd",
    }


@pytest.mark.parametrize("given", [{}, NONE, {"limit": 0, "max_cost_usd": 0}, {"max_cost_usd": 0.0}])
def test_0_and_null_are_none(given: Any) -> None:
    """Null is what configs of earlier versions say."""
    config = ColumnConfig.of_run(given, "tickets/c")
    assert (config.limit, config.max_cost_usd) == (None, None)


@pytest.mark.parametrize("given", [{}, {"within": ""}, {"within": None}], ids=["none", "empty", "null"])
def test_an_empty_time_is_the_columns_own(given: Any, store: ColumnStore, openai: OpenAIResource) -> None:
    """Null is what YAML reads where nothing stands after `within:`; Dagster lets it through."""
    table = Table("tickets", key="id")
    table.add_computed_column(c=ask(table.body))
    job = dg.Definitions(table.assets, resources={"columns": store, "openai": openai})
    config = {"ops": {"tickets__c": {"config": given}}}
    assert dg.validate_run_config(job.resolve_implicit_global_asset_job_def(), config)
    assert ColumnConfig.of_run(given, "tickets/c").within is None


def test_what_is_given_holds() -> None:
    """A number of rows, and US dollars."""
    config = ColumnConfig.of_run({"limit": 2, "max_cost_usd": 0.5}, "tickets/c")
    assert (config.limit, config.max_cost_usd) == (2, 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": -1}, "limit: got -1, allowed: how many of the first rows to compute, or 0 for all rows"),
        (
            {"max_cost_usd": -0.5},
            "max_cost_usd: got -0.5, allowed: US dollars, or 0 for the column's own max_cost_usd",
        ),
        (
            {"max_cost_usd": float("nan")},
            "max_cost_usd: got nan, allowed: US dollars, or 0 for the column's own max_cost_usd",
        ),
    ],
)
def test_less_than_nothing_is_refused(given: Any, message: str) -> None:
    """By a failure that says what is allowed, and that a retry would not mend."""
    with pytest.raises(dg.Failure) as refused:
        ColumnConfig.of_run(given, "tickets/c")
    assert refused.value.description == f"tickets/c: run config: {message}"
    assert not refused.value.allow_retries


def test_a_run_of_the_defaults_computes_all_rows(store: ColumnStore, openai: OpenAIResource) -> None:
    """As the launchpad sends them; the column's own budget holds."""
    tickets = Tickets(store, openai)
    rows = {1: "a", 2: "b"}
    result = tickets.run(rows, config={"limit": 0, "max_cost_usd": 0.0}, max_cost_usd=1.0)
    assert said_of(result)["pxt/rows_computed"] == 2
    again = tickets.run({3: "c", 4: "d"}, config={"max_cost_usd": 0.0}, max_cost_usd=1e-6, fails=True)
    assert "The budget of $0.000001 is spent" in str(failure(again).description)
