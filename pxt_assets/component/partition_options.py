"""Partitions, and how they map onto each other, as YAML declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.errors import DefinitionError

PartitionsOrNone = dg.PartitionsDefinition[Any] | None

_TIME_PARTITIONS: dict[str, Callable[..., dg.PartitionsDefinition[Any]]] = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}
_OFFSETS = {
    "hourly": ("minute_offset",),
    "daily": ("minute_offset", "hour_offset"),
    "weekly": ("minute_offset", "hour_offset", "day_offset"),
    "monthly": ("minute_offset", "hour_offset", "day_offset"),
}
_NAMED_MAPPINGS: dict[str, Callable[[], dg.PartitionMapping]] = {
    "identity": dg.IdentityPartitionMapping,
    "all": dg.AllPartitionMapping,
    "last": dg.LastPartitionMapping,
}
_ALLOWED_PARTITIONS = (
    "inherit, none, {dynamic: name}, {static: [a, b]}, {daily: 2026-01-01} (or hourly, weekly, monthly; with end, "
    "timezone, ...), {multi: {date: {daily: 2026-01-01}, region: {static: [eu, us]}}}, "
    "or, of a table of files, files"
)
_ALLOWED_MAPPINGS = (
    "identity, all, last, {time_window: {start_offset: -1, end_offset: 0}}, {specific: [a, b]}, {static: {a: b}}, "
    "{dimension: name}"
)


def partitions_def_of(declared: object) -> PartitionsOrNone:
    """The partitions that the option `partitions` declares, other than `inherit`. Raises DefinitionError."""
    if declared == "none":
        return None
    if isinstance(declared, dg.PartitionsDefinition):
        return declared
    if not isinstance(declared, Mapping):
        raise _refusal("partitions", declared, _ALLOWED_PARTITIONS)
    kind, value, options = _split_kind(
        declared, {*_TIME_PARTITIONS, "dynamic", "static", "multi"}, "partitions", _ALLOWED_PARTITIONS
    )
    if kind in _TIME_PARTITIONS:
        _check_options(
            options, ("end", "timezone", "fmt", "end_offset", *_OFFSETS[kind]), f"partitions: {kind}"
        )
        arguments = {"end_date" if name == "end" else name: option for name, option in options.items()}
        return _TIME_PARTITIONS[kind](start_date=str(value), **arguments)
    _check_options(options, (), f"partitions: {kind}")
    if kind == "dynamic" and isinstance(value, str) and value:
        return dg.DynamicPartitionsDefinition(name=value)
    if kind == "static" and isinstance(value, list) and value:
        return dg.StaticPartitionsDefinition([str(key) for key in value])
    if kind == "multi" and isinstance(value, Mapping) and value:
        dimensions = {str(name): partitions_def_of(inner) for name, inner in value.items()}
        if all(dimensions.values()):
            return dg.MultiPartitionsDefinition({name: inner for name, inner in dimensions.items() if inner})
    raise _refusal("partitions", declared, _ALLOWED_PARTITIONS)


def partition_mapping_of(declared: object) -> dg.PartitionMapping | None:
    """The mapping that the option `partition_mapping` declares. Raises DefinitionError."""
    if declared is None or isinstance(declared, dg.PartitionMapping):
        return declared
    if isinstance(declared, str) and declared in _NAMED_MAPPINGS:
        return _NAMED_MAPPINGS[declared]()
    if not isinstance(declared, Mapping):
        raise _refusal("partition_mapping", declared, _ALLOWED_MAPPINGS)
    kinds = {"time_window", "specific", "static", "dimension"}
    kind, value, options = _split_kind(declared, kinds, "partition_mapping", _ALLOWED_MAPPINGS)
    _check_options(options, (), f"partition_mapping: {kind}")
    if kind == "time_window" and isinstance(value, Mapping):
        _check_options(value, ("start_offset", "end_offset"), "partition_mapping: time_window")
        start, end = int(value.get("start_offset", 0)), int(value.get("end_offset", 0))
        return dg.TimeWindowPartitionMapping(start_offset=start, end_offset=end)
    if kind == "specific" and isinstance(value, list):
        return dg.SpecificPartitionsPartitionMapping([str(key) for key in value])
    if kind == "static" and isinstance(value, Mapping):
        return dg.StaticPartitionMapping({str(key): mapped for key, mapped in value.items()})
    if kind == "dimension" and isinstance(value, str):
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=value)
    raise _refusal("partition_mapping", declared, _ALLOWED_MAPPINGS)


def _split_kind(
    declared: Mapping[str, Any], kinds: set[str], option: str, allowed: str
) -> tuple[str, Any, dict[str, Any]]:
    """The one entry of a dict that is a kind, its value, and the other entries. Raises DefinitionError."""
    kinds_named = [name for name in declared if name in kinds]
    if len(kinds_named) != 1:
        raise _refusal(option, declared, allowed)
    return (
        kinds_named[0],
        declared[kinds_named[0]],
        {k: v for k, v in declared.items() if k != kinds_named[0]},
    )


def _check_options(options: Mapping[str, Any], allowed: Sequence[str], option: str) -> None:
    unknown = [name for name in options if name not in allowed]
    if unknown:
        instead = f"allowed: {', '.join(allowed)}" if allowed else "it has no options"
        msg = f"{option}: got {', '.join(map(str, unknown))}; {instead}"
        raise DefinitionError(msg)


def _refusal(option: str, declared: object, allowed: str) -> DefinitionError:
    return DefinitionError(f"{option}: got {declared!r:.100}, allowed: {allowed}")
