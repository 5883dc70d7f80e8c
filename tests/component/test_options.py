import datetime

import dagster as dg
import pytest

from pxt_assets import on_changed_inputs
from pxt_assets.component.options import (
    automation_condition_of,
    backfill_policy_of,
    column_type_of,
    duration_of,
    freshness_policy_of,
    retry_policy_of,
)
from pxt_assets.errors import DefinitionError
from pxt_assets.values.types import Array, Image


@pytest.mark.parametrize(
    ("declared", "condition"),
    [
        ("on_changed_inputs", on_changed_inputs()),
        ("eager", dg.AutomationCondition.eager()),
        ("on_missing", dg.AutomationCondition.on_missing()),
        ({"on_cron": "0 6 * * *"}, dg.AutomationCondition.on_cron("0 6 * * *")),
        (
            {"on_cron": "0 6 * * *", "timezone": "Europe/Berlin"},
            dg.AutomationCondition.on_cron("0 6 * * *", "Europe/Berlin"),
        ),
        (dg.AutomationCondition.eager(), dg.AutomationCondition.eager()),
        (None, None),
    ],
)
def test_automation_conditions_have_names(declared, condition):
    """The usual ones are written without a template."""
    assert automation_condition_of(declared) == condition


@pytest.mark.parametrize(
    ("declared", "policy"),
    [
        (
            {"fail_window": "36h", "warn_window": "1d"},
            dg.FreshnessPolicy.time_window(
                fail_window=datetime.timedelta(hours=36), warn_window=datetime.timedelta(days=1)
            ),
        ),
        (
            {"deadline_cron": "0 6 * * *", "lower_bound_delta": "1h", "timezone": "Europe/Berlin"},
            dg.FreshnessPolicy.cron("0 6 * * *", datetime.timedelta(hours=1), "Europe/Berlin"),
        ),
        (None, None),
    ],
)
def test_freshness_policies_are_mappings(declared, policy):
    """By the names of Dagster's own arguments, with spans of time as text."""
    assert freshness_policy_of(declared) == policy


def test_spans_of_time():
    """Numbers with units, which add up."""
    assert duration_of("1d 12h") == datetime.timedelta(hours=36)
    assert duration_of("90s") == datetime.timedelta(seconds=90)


def test_types_are_named_as_in_python():
    """A vector says its length, or leaves it open."""
    assert column_type_of("Image") is Image
    assert column_type_of("Array") is Array
    assert column_type_of("Array[(None,), 'float32']") is Array
    assert column_type_of("Array[(3,), float32]") is Array[(3,), "float32"]


@pytest.mark.parametrize(
    ("of", "declared", "allowed"),
    [
        (automation_condition_of, "sometimes", "on_changed_inputs, eager"),
        (automation_condition_of, {"on_cron": "0 6 * * *", "zone": "x"}, "with timezone"),
        (freshness_policy_of, {"warn_window": "1h"}, "fail_window: 36h"),
        (duration_of, "soon", "90s, 30m"),
        (duration_of, 5, "90s, 30m"),
        (column_type_of, "Picture", "Image, Audio, Array"),
        (column_type_of, "Array[(0), 'float64']", r"Array\[\(1536,\)"),
        (column_type_of, ["Image"], "String"),
    ],
)
def test_anything_else_is_refused(of, declared, allowed):
    """With what is allowed."""
    with pytest.raises(DefinitionError, match=f"got .*allowed: .*{allowed}"):
        of(declared)


def test_retry_policies_are_mappings():
    """By the names of Dagster's own arguments; the delay is a span of time, or seconds."""
    assert retry_policy_of({"max_retries": 3, "delay": "1m", "backoff": "exponential", "jitter": "full"}) == (
        dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
    )
    assert retry_policy_of({"max_retries": 3, "delay": 2}) == dg.RetryPolicy(max_retries=3, delay=2)
    assert retry_policy_of(dg.RetryPolicy()) == dg.RetryPolicy()
    assert retry_policy_of(None) is None


@pytest.mark.parametrize(
    "wrong",
    [3, {}, {"retries": 3}, {"max_retries": "x"}, {"max_retries": 1, "backoff": "no"}, {"delay": "soon"}],
)
def test_other_retry_policies_are_refused(wrong):
    """With what is allowed."""
    with pytest.raises(DefinitionError, match="allowed"):
        retry_policy_of(wrong)


def test_backfill_policies():
    """As Dagster's factories are called."""
    assert backfill_policy_of("single_run") == dg.BackfillPolicy.single_run()
    assert backfill_policy_of({"multi_run": 10}) == dg.BackfillPolicy.multi_run(10)
    assert backfill_policy_of(None) is None
    for wrong in ("multi_run", {"multi_run": 0}, {"multi_run": "x"}, 3):
        with pytest.raises(DefinitionError, match=r"allowed: single_run, \{multi_run: 10\}, or a template"):
            backfill_policy_of(wrong)
