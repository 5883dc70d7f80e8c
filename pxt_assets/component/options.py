"""Options that are objects in Python, as YAML declares them: conditions, freshness policies, types of columns."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

import dagster as dg
from dagster_shared.check import CheckError

from pxt_assets.assets.automation import on_changed_inputs
from pxt_assets.errors import DefinitionError
from pxt_assets.values import types

_ALLOWED_CONDITIONS = "on_changed_inputs, eager, on_missing, {on_cron: '0 6 * * *'} (with timezone), or a template such as {{ dg.AutomationCondition.eager() }}"
_ALLOWED_FRESHNESS = "{fail_window: 36h, warn_window: 24h}, {deadline_cron: '0 6 * * *', lower_bound_delta: 1h} (with timezone), or a template"
_ALLOWED_RETRIES = (
    "{max_retries: 3, delay: 30s, backoff: exponential or linear, jitter: full or plus_minus}, or a template"
)
_DURATION = re.compile(r"\s*(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ARRAY = re.compile(
    r"Array(?:\[\s*\(\s*(\d+|None)\s*,?\s*\)\s*(?:,\s*['\"]?(float32)['\"]?\s*)?\])?", re.ASCII
)
E = TypeVar("E", bound=Enum)
_TYPES: dict[str, type[types.ColumnType]] = {
    t.__name__: t
    for t in (types.String, types.Int, types.Float, types.Bool, types.Json, types.Image, types.Audio)
}


def automation_condition_of(declared: object) -> dg.AutomationCondition[Any] | None:
    """The condition that the option `automation_condition` declares. Raises DefinitionError."""
    if declared is None or isinstance(declared, dg.AutomationCondition):
        return declared
    if declared == "on_changed_inputs":
        return on_changed_inputs()
    if declared == "eager":
        return dg.AutomationCondition.eager()
    if declared == "on_missing":
        return dg.AutomationCondition.on_missing()
    if isinstance(declared, Mapping) and "on_cron" in declared and declared.keys() <= {"on_cron", "timezone"}:
        cron = str(declared["on_cron"])
        return dg.AutomationCondition.on_cron(cron, cron_timezone=declared.get("timezone", "UTC"))
    msg = f"automation_condition: got {declared!r:.100}, allowed: {_ALLOWED_CONDITIONS}"
    raise DefinitionError(msg)


def freshness_policy_of(declared: object) -> dg.FreshnessPolicy | None:
    """The policy that the option `freshness_policy` declares. Raises DefinitionError."""
    if declared is None or isinstance(declared, dg.FreshnessPolicy):
        return declared
    if isinstance(declared, Mapping):
        given = dict(declared)
        if "fail_window" in given and given.keys() <= {"fail_window", "warn_window"}:
            return dg.FreshnessPolicy.time_window(**{name: duration_of(text) for name, text in given.items()})
        cron = {"deadline_cron", "lower_bound_delta"}
        if cron <= given.keys() <= {*cron, "timezone"}:
            bound = duration_of(given.pop("lower_bound_delta"))
            return dg.FreshnessPolicy.cron(lower_bound_delta=bound, **given)
    msg = f"freshness_policy: got {declared!r:.100}, allowed: {_ALLOWED_FRESHNESS}"
    raise DefinitionError(msg)


def retry_policy_of(declared: object) -> dg.RetryPolicy | None:
    """The policy that the option `retry_policy` declares. Raises DefinitionError."""
    if declared is None or isinstance(declared, dg.RetryPolicy):
        return declared
    options = dict(declared) if isinstance(declared, Mapping) else {}
    delay = options.get("delay")
    if options and options.keys() <= {"max_retries", "delay", "backoff", "jitter"}:
        seconds = duration_of(delay).total_seconds() if isinstance(delay, str) else delay
        try:
            return dg.RetryPolicy(
                max_retries=options.get("max_retries", 1),
                delay=seconds,
                backoff=_member(dg.Backoff, options.get("backoff")),
                jitter=_member(dg.Jitter, options.get("jitter")),
            )
        except (CheckError, KeyError, dg.DagsterInvalidDefinitionError) as e:
            msg = f"retry_policy: got {declared!r:.100} ({e}), allowed: {_ALLOWED_RETRIES}"
            raise DefinitionError(msg) from e
    msg = f"retry_policy: got {declared!r:.100}, allowed: {_ALLOWED_RETRIES}"
    raise DefinitionError(msg)


def _member(kind: type[E], name: object) -> E | None:
    """The member of an enum by its name in any case. Raises KeyError."""
    return None if name is None else kind[str(name).upper()]


def backfill_policy_of(declared: object) -> dg.BackfillPolicy | None:
    """The policy that the option `backfill_policy` declares. Raises DefinitionError."""
    if declared is None or isinstance(declared, dg.BackfillPolicy):
        return declared
    if declared == "single_run":
        return dg.BackfillPolicy.single_run()
    if isinstance(declared, Mapping) and declared.keys() == {"multi_run"}:
        partitions = declared["multi_run"]
        if isinstance(partitions, int) and not isinstance(partitions, bool) and partitions > 0:
            return dg.BackfillPolicy.multi_run(partitions)
    msg = f"backfill_policy: got {declared!r:.100}, allowed: single_run, {{multi_run: 10}}, or a template"
    raise DefinitionError(msg)


def duration_of(text: object) -> datetime.timedelta:
    """A span of time, `36h` or `1d 12h`. Raises DefinitionError."""
    given = text if isinstance(text, str) else ""
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+\s*", given):
        msg = f"got {text!r:.50} as a span of time, allowed: numbers with a unit, such as 90s, 30m, 36h, 2d or 1d 12h"
        raise DefinitionError(msg)
    return sum(
        (datetime.timedelta(**{_UNITS[unit]: int(number)}) for number, unit in _DURATION.findall(given)),
        datetime.timedelta(),
    )


def column_type_of(text: object) -> type[types.ColumnType]:
    """The type of a column by its name, `Image` or `Array[(3,), 'float32']`. Raises DefinitionError."""
    if isinstance(text, str) and text in _TYPES:
        return _TYPES[text]
    array = _ARRAY.fullmatch(text) if isinstance(text, str) else None
    if array is None:
        msg = f"got the type {text!r:.50}, allowed: {', '.join(_TYPES)}, Array, Array[(1536,), 'float32']"
        raise DefinitionError(msg)
    length = int(array[1]) if array[1] and array[1] != "None" else None
    return types.Array.__class_getitem__(((length,), "float32"))
