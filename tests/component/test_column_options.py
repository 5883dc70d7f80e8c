"""Checks and options of columns in YAML are those of Python."""

import dagster as dg
import pytest

KNOWN = "dg.TableSchema([dg.TableColumn(name) for name in ('id', 'body', 'urgent_by_hand')])"


@pytest.mark.parametrize("label", ["urgent_by_hand", "$tbl.urgent_by_hand"])
def test_checks_budgets_and_pools(project, label):
    """As Python says them; labels are columns, however these are written."""
    project.python(f"dg.AssetSpec('tickets', metadata={{'dagster/column_schema': {KNOWN}}})")
    project.declare(
        """
        table: tickets
        defaults: {pool: api, checks: {max_failed: 0.01}}
        columns:
          - name: safety
            function: moderations
            arguments: {input: $tbl.body}
            checks: {none_flagged: true, unexpected_nulls: true}
            max_cost_usd: 2.5
          - {name: plain, value: $tbl.body.a}
          - name: triage
            function: decisions
            arguments:
              input: $tbl.body
              model: gpt-6-luna
              questions: {urgent: {type: predicate, instructions: It is urgent.}}
            checks: {min_confidence: {urgent: 0.6}, labels: {urgent: LABEL}, min_accuracy: 0.9}
        """.replace("LABEL", label)
    )
    with project.loaded() as defs:
        safety, plain, triage = (
            defs.resolve_assets_def(dg.AssetKey(["tickets", name])) for name in ("safety", "plain", "triage")
        )
    of_answers = {"none_doubtful", "labels_match"}
    assert {key.name for key in triage.check_keys} == {"no_failed_cells", "no_unexpected_nulls"} | of_answers
    assert {key.name for key in safety.check_keys} == {"no_failed_cells", "none_flagged", "cost_within"}
    assert {key.name for key in plain.check_keys} == {"no_failed_cells", "no_unexpected_nulls"}
    assert {asset.op.pool for asset in (safety, plain, triage)} == {"api"}


def test_options_of_assets_in_yaml(project):
    """What a column takes in Python; those that add up do so with the defaults."""
    project.python("dg.AssetSpec('tickets')")
    project.declare(
        """
        table: tickets
        key: id
        partitions: {static: [a, b]}
        defaults: {metadata: {one: 1}, kinds: [x], op_tags: {one: "1"}, retry_policy: {max_retries: 1}}
        columns:
          - {name: first, value: $tbl.body}
          - name: c
            function: moderations
            arguments: {input: $tbl.body}
            metadata: {two: "{{ 1 + 1 }}"}
            kinds: [y]
            op_tags: {two: "2"}
            deps: [$tbl.first, raw/glossary]
            retry_policy: {max_retries: 3, delay: 30s}
            backfill_policy: {multi_run: 1}
        """
    )
    with project.loaded() as defs:
        first, asset = (defs.resolve_assets_def(["tickets", name]) for name in ("first", "c"))
    (spec,) = asset.specs
    assert (spec.metadata["one"], spec.metadata["two"]) == (1, 2)
    assert {"x", "y"} <= spec.kinds
    assert (asset.op.tags["one"], asset.op.tags["two"]) == ("1", "2")
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == {
        "tickets",
        "tickets/first",
        "raw/glossary",
    }
    assert asset.op.retry_policy == dg.RetryPolicy(max_retries=3, delay=30)
    assert asset.backfill_policy == dg.BackfillPolicy.multi_run(1)
    assert first.op.retry_policy == dg.RetryPolicy(max_retries=1)
    assert first.backfill_policy == dg.BackfillPolicy.single_run()
