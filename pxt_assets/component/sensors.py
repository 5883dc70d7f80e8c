"""The sensors that a component declares: of answers that come later, and of files that arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from pxt_assets.assets.table import Table
from pxt_assets.component.templates import render_templates
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError, option_meant

_STATUSES = {"running": dg.DefaultSensorStatus.RUNNING, "stopped": dg.DefaultSensorStatus.STOPPED}
_OPTIONS = ("name", "minimum_interval_seconds", "default_status", "tags", "description")
_OF_FILES = (*_OPTIONS[:2], "settle_seconds", "max_unfinished_runs", *_OPTIONS[2:])


def declared_collector(
    table: Table, declared: Any, resolution: dg.ResolutionContext, position: YamlPosition
) -> list[dg.SensorDefinition]:
    """The table's collector, if one is declared. Raises DefinitionError."""
    given = render_templates(declared, resolution, position.at("collector"))
    return _sensors("collector", given, table.collector, _OPTIONS)


def declared_files_sensor(
    table: Table, declared: Any, resolution: dg.ResolutionContext, position: YamlPosition
) -> list[dg.SensorDefinition]:
    """The sensor of the table's files, if one is declared. Raises DefinitionError."""
    given = render_templates(declared, resolution, position.at("files_sensor"))
    return _sensors("files_sensor", given, table.files_sensor, _OF_FILES)


def _sensors(
    option: str, given: Any, make: Callable[..., dg.SensorDefinition], allowed: tuple[str, ...]
) -> list[dg.SensorDefinition]:
    """What `make` makes of an option: true, or a dict of the sensor's own. Raises DefinitionError."""
    if given is None or given is False:
        return []
    if given is True:
        return [make()]
    if not isinstance(given, Mapping):
        msg = f"{option}: got {given!r:.60}, allowed: true, or its options ({', '.join(allowed)})"
        raise DefinitionError(msg)
    unknown = [name for name in given if name not in allowed]
    if unknown:
        msg = f"{option}: got {unknown[0]!r}, allowed: {', '.join(allowed)}{option_meant(str(unknown[0]), allowed)}"
        raise DefinitionError(msg)
    options = dict(given)
    status = options.get("default_status")
    if "default_status" in options and not isinstance(status, dg.DefaultSensorStatus):
        if str(status).lower() not in _STATUSES:
            msg = f"{option}: default_status: got {status!r}, allowed: {' or '.join(_STATUSES)}"
            raise DefinitionError(msg)
        options["default_status"] = _STATUSES[str(status).lower()]
    return [make(**options)]
