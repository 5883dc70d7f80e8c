"""A sensor that collects answers which come later, so that no run waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg

from pxt_assets.assets.automation import is_single_run
from pxt_assets.assets.columns.table_columns import TableColumns
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.declarations.within import can_come_later
from pxt_assets.assets.step.loaded_assets import LoadedAssets, executable_keys
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.errors import DefinitionError, options_checked
from pxt_assets.values.scrubbed_errors import scrubbed_errors
from pxt_assets.values.scrubbing import distinct_secrets

_MAX_NAMED = 5
"""How many columns the description names."""


class CollectedTable(Protocol):
    """A Table, as its collector knows it: columns may be added after the collector is made."""

    _attributes: TableAttributes
    _columns: TableColumns

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far."""


@options_checked("{!r}.collector", DefinitionError)
def table_collector(
    table: CollectedTable,
    *,
    name: str | None = None,
    minimum_interval_seconds: int = 60,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that collects answers of the table's columns which come later (`within`), so that no run waits for them.

    Example:
        ```python
        tbl.add_computed_column(response=chat_completions(messages, model="gpt-6-luna"), within="24h")
        defs = dg.Definitions(assets=tbl.assets, sensors=[tbl.collector()], resources={...})
        ```

    A run of a column then submits what is missing and ends, with success and without a materialization; what is
    downstream of it in that run is skipped. The sensor looks at all of the table's columns and partitions, and asks for a
    run of each partition whose answers have come: of the column, and of the table's columns downstream that were skipped.
    A tick reads what is on record, and asks about each batch once a minute at most.

    Args:
        table: the table: `tbl.collector(...)` gives itself.
        name: of the sensor; by default `<table>_collector`.
        minimum_interval_seconds: seconds between two ticks.
        default_status: whether it is switched on; it is unless you say otherwise, since runs rely on it.
        tags: of the sensor.
        description: of the sensor; by default what it does.

    Raises DefinitionError for a table without a column whose answers can come later, and for other options.
    """
    attributes = table._attributes
    if not any(can_come_later(spec.expr) for spec in table._columns.specs.values()):
        msg = (
            f"{table!r}.collector: no column of the table has answers that can come later, by the Batch API or in the "
            "background; add such a column first, or leave the collector out"
        )
        raise DefinitionError(msg)
    name = name or f"{identifier(attributes.key)}_collector"
    keys = attributes.resources

    def collect(
        context: dg.SensorEvaluationContext, **_: Any
    ) -> dg.SensorResult:  # resources, of a direct call
        secrets = distinct_secrets(
            secret
            for key in (keys.openai, keys.columns)
            for secret in getattr(getattr(context.resources, key), "known_secrets", tuple)()
        )
        from pxt_assets.assets.columns.collector_tick import Tick

        is_multi = isinstance(attributes.partitions_def, dg.MultiPartitionsDefinition)
        in_ranges = not is_multi and all(map(is_single_run, _computed_assets(table)))
        with scrubbed_errors(secrets):
            return Tick(table, context, str(name), secrets, in_ranges).result()

    sensor = dg.SensorDefinition(
        name=name,
        job=dg.define_asset_job(f"{name}_job", selection=_ComputedAssets(table, str(name))),
        evaluation_fn=collect,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        required_resource_keys={keys.openai, keys.columns},
        tags=tags,
        description=description or _description(table),
    )
    attributes.collector.name = name
    attributes.collector.is_on = default_status is dg.DefaultSensorStatus.RUNNING
    return sensor


def _description(table: CollectedTable) -> str:
    """What the sensor does, for its page."""
    later = [spec.key.to_user_string() for spec in table._columns.specs.values() if spec.within is not None]
    more = len(later) - _MAX_NAMED
    named = ", ".join(later[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    of = named or f"columns of {table._attributes.key.to_user_string()}"
    return (
        f"Collects answers that come later (within), of {of}: asks for a run of each partition whose answers are there. A "
        "tick without runs says what is on its way; so does pxt-assets batches."
    )


@dataclass(frozen=True)
class _ComputedAssets(dg.AssetSelection):
    """The table's computed columns and indexes that definitions have, as they are when the selection is looked at."""

    table: CollectedTable
    sensor: str

    def resolve_inner(self, asset_graph: Any, allow_missing: bool) -> Any:
        """The keys in a graph, of some of the table's columns where it lacks the others. Raises DefinitionError for none."""
        found = executable_keys(asset_graph, _computed_assets(self.table))
        if not found and not allow_missing:
            msg = (
                f"the sensor {self.sensor}: these definitions have no computed column of {self.table!r}, whose answers it is to "
                "collect; give them assets=[*table.assets], or leave the collector out"
            )
            raise DefinitionError(msg)
        return found

    def to_selection_str(self) -> str:
        """The assets by their own keys."""
        return LoadedAssets(tuple(_computed_assets(self.table))).to_selection_str()


def _computed_assets(table: CollectedTable) -> list[dg.AssetsDefinition]:
    """The table's computed columns and indexes."""
    return [asset for asset in table.assets if isinstance(asset, TableAsset)]
