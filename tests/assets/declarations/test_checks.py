"""The checks of a column: what they say after each kind of run, and when they are run alone."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import Checks, ColumnStore, OpenAIResource, Table
from pxt_assets.assets.declarations.checks import (
    NO_FAILED_CELLS,
    NO_UNEXPECTED_NULLS,
    NONE_FLAGGED,
)
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import embeddings, moderations
from tests.runs import QUIET, ask, materialize, rows_asset, values
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of
from tests.tickets import KEY, Partitions, Tickets, checks, said_of

CHECK = dg.AssetCheckKey(KEY, NO_FAILED_CELLS)


def rude(asked: Asked) -> Reply:
    """Refuses `bad …` with 400 and `long …` with 422, answers anything else."""
    statuses = {"bad": 400, "long": 422}
    status = statuses.get(asked.text.split()[0])
    return chat(asked) if status is None else refusal(status, "no")


def embed(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


@pytest.fixture
def server(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(rude)
    return started


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def the_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (one,) = [each for each in checks(result) if each.check_name == NO_FAILED_CELLS]
    return one


def figures(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: said.value for name, said in evaluation.metadata.items() if name != "pxt/failed_rows"}


def alone(
    assets: list[dg.AssetsDefinition],
    store: ColumnStore,
    *,
    partition: str | None = None,
    instance: dg.DagsterInstance,
) -> dg.ExecuteInProcessResult:
    """Runs the check and nothing else."""
    nowhere = OpenAIResource(api_key="unused", base_url="http://127.0.0.1:9/v1")
    definitions = dg.Definitions(assets=assets, resources={"columns": store, "openai": nowhere})
    selection = dg.AssetSelection.checks(CHECK)
    job = dg.define_asset_job("alone", selection=selection)
    found = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("alone")
    return found.execute_in_process(
        partition_key=partition, instance=instance, run_config=QUIET, raise_on_error=True
    )


def test_descriptions_say_what_is_expected() -> None:
    """Beside a check that failed, too, none reads as what is so."""
    specs = Checks(none_flagged=True).specs(KEY, has_budget=True)
    assert len(specs) == 4
    assert all((spec.description or "").startswith("Expects that ") for spec in specs)


def test_without_failures_it_passes(tickets: Tickets) -> None:
    """A column whose rows all have results passes."""
    check = the_check(tickets.run({1: "a", 2: None}))
    assert check.passed
    assert check.description == "no row failed"
    assert figures(check) == {"pxt/rows_failed": 0}


def test_failed_rows_make_it_yellow_with_the_counts(tickets: Tickets) -> None:
    """Under on_error="ignore" the run succeeds, and the check warns with the rows that failed, by error type."""
    result = tickets.run({1: "a", 2: "bad x", 3: "long x", 4: "bad y"}, on_error="ignore")
    check = the_check(result)
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == "3 rows failed: 2 BadRequestError, 1 UnprocessableEntityError"
    errors = {"BadRequestError": 2, "UnprocessableEntityError": 1}
    assert figures(check) == {"pxt/rows_failed": 3, "pxt/errors": errors}
    assert said_of(result)["pxt/errors"] == errors


def test_rows_that_made_no_request_count(tickets: Tickets) -> None:
    """A row whose value a function cannot take failed as well."""
    check = the_check(tickets.run({1: 5}, embed, on_error="ignore"))
    assert (check.passed, figures(check)["pxt/rows_failed"]) == (False, 1)


def test_errors_that_were_kept_count(tickets: Tickets) -> None:
    """A run that reuses a stored error still warns of it."""
    tickets.run({1: "bad x"}, on_error="ignore")
    result = tickets.run({1: "bad x"}, on_error="ignore", config={"retry_errors": False})
    assert not the_check(result).passed


def test_it_turns_green_when_the_rows_are_answered(tickets: Tickets, server: ScriptedServer) -> None:
    """After a run that answers the failed rows the check passes."""
    tickets.run({1: "bad x"}, on_error="ignore")
    server.script = chat
    assert the_check(tickets.run({1: "bad x"}, on_error="ignore")).passed


def test_a_run_that_fails_leaves_it_yellow(tickets: Tickets) -> None:
    """Under on_error="abort" the run fails, and the check says why with the counts."""
    result = tickets.run({1: "a", 2: "bad x"}, fails=True)
    check = the_check(result)
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == "1 row failed: 1 BadRequestError"


def test_a_column_that_calls_nothing_has_one_too(tickets: Tickets) -> None:
    """Columns of paths and templates alone are checked as well."""
    assert the_check(tickets.run({1: "a"}, lambda t: t.body)).passed


@pytest.mark.parametrize("config", [{"limit": 1}, {"dry_run": True}], ids=["trial", "dry run"])
def test_what_stores_nothing_checks_nothing(config: dict[str, Any], tickets: Tickets) -> None:
    """A trial or a dry run says nothing of the stored column."""
    result = tickets.run({1: "bad x", 2: "a"}, config=config, on_error="ignore")
    assert not checks(result)


def test_a_range_is_counted_as_a_whole(store: ColumnStore, openai: OpenAIResource) -> None:
    """In a run of several partitions the check adds them up, and names those in which rows failed."""
    rows = {"x": {1: "a", 2: "bad x"}, "y": {1: "b"}, "z": {1: "bad y", 2: "long z"}}
    check = the_check(Partitions(store, openai, rows, on_error="ignore").run())  # type: ignore[arg-type]
    assert check.description == "3 partitions: 3 rows failed: 2 BadRequestError, 1 UnprocessableEntityError"
    assert figures(check)["pxt/partitions"] == ["x", "z"]


def test_a_range_without_failures_passes(store: ColumnStore, openai: OpenAIResource) -> None:
    """Partitions that have all results pass together."""
    partitions = Partitions(store, openai, {"x": {1: "a"}, "y": {1: "b"}}, on_error="ignore")
    assert the_check(partitions.run()).passed


def test_run_alone_it_reads_what_is_stored(tickets: Tickets, server: ScriptedServer) -> None:
    """The check by itself asks nothing, and says what the stored column holds."""
    rows = {1: "a", 2: "bad x"}
    with dg.DagsterInstance.ephemeral() as instance:
        tickets.run(rows, on_error="ignore", instance=instance)
        server.forget()
        before = tickets.path.read_bytes()
        result = alone(tickets.assets(rows, on_error="ignore"), tickets.store, instance=instance)
    assert the_check(result).description == "1 row failed: 1 BadRequestError"
    assert not server.asked
    assert tickets.path.read_bytes() == before


def test_run_alone_it_passes_a_sound_column(tickets: Tickets) -> None:
    """A column without errors passes by itself too."""
    with dg.DagsterInstance.ephemeral() as instance:
        tickets.run({1: "a"}, instance=instance)
        assert the_check(alone(tickets.assets({1: "a"}), tickets.store, instance=instance)).passed


def test_run_alone_over_partitions_it_reads_all_that_are_stored(
    store: ColumnStore, openai: OpenAIResource
) -> None:
    """Without a partition the check is of every stored one: a column with failures does not pass."""
    rows = {"x": {1: "a"}, "y": {1: "bad y"}, "z": {1: "c"}}
    partitions = Partitions(store, openai, rows, on_error="ignore")  # type: ignore[arg-type]
    with dg.DagsterInstance.ephemeral() as instance:
        partitions.run("x", "y", instance=instance)
        check = the_check(alone(partitions.assets, store, instance=instance))
    assert not check.passed
    assert figures(check) == {
        "pxt/rows_failed": 1,
        "pxt/errors": {"BadRequestError": 1},
        "pxt/partitions": ["y"],
        "pxt/partitions_checked": 2,
    }


def test_a_run_without_the_check_is_as_good(tickets: Tickets) -> None:
    """Where the check is left out of a run, the column is computed all the same."""
    assets = tickets.assets({1: "a", 2: "bad x"}, on_error="ignore")
    result = dg.materialize(
        assets,
        resources={"columns": tickets.store, "openai": tickets.openai},
        run_config=QUIET,
        selection=dg.AssetSelection.all() - dg.AssetSelection.checks_for_assets(KEY),
    )
    assert not checks(result)
    assert tickets.table.num_rows == 2


def test_downstream_rows_of_failed_ones_are_null(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column that reads failed cells has nulls there, and passes its own check."""
    upstream = rows_asset({"id": [1, 2], "body": ["a", "bad x"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body), on_error="ignore")
    table.add_computed_column(said=table.c.choices[0].message.content)
    result = materialize([upstream, *table.assets], store, openai)
    assert values(store, "tickets/said") == ["re: a", None]
    passed = {
        one.asset_key.to_user_string(): one.passed
        for one in result.get_asset_check_evaluations()
        if one.check_name == NO_FAILED_CELLS
    }
    assert passed == {"tickets/c": False, "tickets/said": True}


def test_a_servers_fault_leaves_the_check_alone(store: ColumnStore, serve: Any) -> None:
    """A run that stops for another reason than its rows says nothing of these."""
    server = serve(lambda _: refusal(401, "no", code="invalid_api_key"))
    result = Tickets(store, resource_of(server)).run({1: "a"}, fails=True)
    assert not checks(result)


def named(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (one,) = [each for each in checks(result) if each.check_name == name]
    return one


def keys_in(evaluation: dg.AssetCheckEvaluation, table: str) -> list[Any]:
    """The rows that a table in the metadata names."""
    return [record.data["row"] for record in evaluation.metadata[table].value.records]


def test_it_names_the_rows(tickets: Tickets) -> None:
    """By their keys, with the API's own message; of several partitions with these."""
    check = the_check(tickets.run({1: "a", 2: "bad x", 3: "bad y"}, on_error="ignore"))
    (first, _) = check.metadata["pxt/failed_rows"].value.records
    assert first.data == {"row": "id=2", "error": "BadRequestError", "message": "no (request req-7)"}


@pytest.mark.parametrize(("max_failed", "severity"), [(0.5, "WARN"), (0.49, "ERROR"), (0, "ERROR")])
def test_above_a_share_of_the_rows_it_is_an_error(tickets: Tickets, max_failed: float, severity: str) -> None:
    """Up to it, it warns."""
    rows = {1: "a", 2: "bad x"}
    check = the_check(tickets.run(rows, on_error="ignore", checks=Checks(max_failed=max_failed)))
    assert not check.passed
    assert check.severity.value == severity


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    """Anything else is refused, with what is allowed."""
    with pytest.raises(DefinitionError, match="allowed: a share of the rows, 0 to 1"):
        Checks(max_failed=share)


def test_a_path_that_an_answer_lacks_is_an_unexpected_null(
    store: ColumnStore, openai: OpenAIResource
) -> None:
    """A null that is made of a null, or of a failed row, is none."""
    upstream = rows_asset({"id": [1, 2, 3], "body": ["a", "bad x", None]})
    table = Table(upstream, key="id")
    table.add_computed_column(response=ask(table.body), on_error="ignore")
    table.add_computed_column(c=table.response.choices[0].message.no_such)
    result = materialize([upstream, *table.assets], store, openai)
    check = named(result, NO_UNEXPECTED_NULLS)
    assert not check.passed
    assert keys_in(check, "pxt/null_rows") == ["id=1"]
    of_response = [
        one
        for one in result.get_asset_check_evaluations()
        if one.asset_key.path[-1] == "response" and one.check_name == NO_UNEXPECTED_NULLS
    ]
    assert of_response[0].passed


def test_unexpected_nulls_can_be_allowed(tickets: Tickets) -> None:
    """Then there is no such check."""
    result = tickets.run({1: "a"}, checks=Checks(unexpected_nulls=True))
    assert [one.check_name for one in checks(result)] == [NO_FAILED_CELLS]


def test_flagged_rows_are_named(store: ColumnStore, serve: Any) -> None:
    """Where it is asked for, of a column that is a moderation; in the next run too, which computes nothing."""

    def moderate(asked: Asked) -> Reply:
        results = [{"flagged": asked.body["input"] == "rude"}]
        return Reply({"id": "modr-1", "model": "omni-moderation-latest", "results": results})

    tickets = Tickets(store, resource_of(serve(moderate)))

    def column(table: Table) -> Any:
        return moderations(table.body)

    for _ in range(2):
        result = tickets.run({1: "kind", 2: "rude"}, column, checks=Checks(none_flagged=True))
        check = named(result, NONE_FLAGGED)
        assert not check.passed
        assert check.description == "1 row flagged"
        assert keys_in(check, "pxt/flagged_rows") == ["id=2"]
    assert named(tickets.run({1: "kind"}, column, checks=Checks(none_flagged=True)), NONE_FLAGGED).passed


def test_only_moderations_are_flagged(tickets: Tickets) -> None:
    """Elsewhere the check could never fail."""
    with pytest.raises(DefinitionError, match="allowed for a column that is a call of moderations alone"):
        tickets.assets({1: "a"}, checks=Checks(none_flagged=True))


def test_checks_run_alone_tell_what_the_run_told(tickets: Tickets) -> None:
    """They are read from what is stored, rows and all."""
    rows = {1: "a", 2: "bad x"}
    with dg.DagsterInstance.ephemeral() as instance:
        of_run = the_check(tickets.run(rows, on_error="ignore", instance=instance))
        of_store = the_check(alone(tickets.assets(rows, on_error="ignore"), tickets.store, instance=instance))
    assert of_store.metadata == of_run.metadata
