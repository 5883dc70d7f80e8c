"""The sensor that a component declares, which collects answers that come later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pxt_assets.assets.table import Table
from pxt_assets.component.templates import render_templates
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError, option_meant

_STATUSES = {"running": dg.DefaultSensorStatus.RUNNING, "stopped": dg.DefaultSensorStatus.STOPPED}
_OPTIONS = ("name", "minimum_interval_seconds", "default_status", "tags", "description")


def declared_collector(
    table: Table, declared: Any, resolution: dg.ResolutionContext, position: YamlPosition
) -> list[dg.SensorDefinition]:
    """The table's collector, if one is declared. Raises DefinitionError."""
    given = render_templates(declared, resolution, position.at("collector"))
    if given is None or given is False:
        return []
    if given is True:
        return [table.collector()]
    if not isinstance(given, Mapping):
        msg = f"collector: got {given!r:.60}, allowed: true, or its options ({', '.join(_OPTIONS)})"
        raise DefinitionError(msg)
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown:
        msg = f"collector: got {unknown[0]!r}, allowed: {', '.join(_OPTIONS)}{option_meant(str(unknown[0]), _OPTIONS)}"
        raise DefinitionError(msg)
    options = dict(given)
    status = options.get("default_status")
    if "default_status" in options and not isinstance(status, dg.DefaultSensorStatus):
        if str(status).lower() not in _STATUSES:
            msg = f"collector: default_status: got {status!r}, allowed: {' or '.join(_STATUSES)}"
            raise DefinitionError(msg)
        options["default_status"] = _STATUSES[str(status).lower()]
    return [table.collector(**options)]
