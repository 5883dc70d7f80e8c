"""A sensor that adds files as partitions as they arrive, and asks for runs of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.step.loaded_assets import LoadedAssets, executable_keys, loaded_keys
from pxt_assets.errors import DefinitionError, options_checked
from pxt_assets.values.scrubbed_errors import scrubbed_errors

if TYPE_CHECKING:
    from pxt_assets.assets.declarations.file_partitions import FilePartitions


class TableOfFiles(Protocol):
    """A Table, as its sensor knows it: columns may be added after the sensor is made."""

    _attributes: TableAttributes
    _file_partitions: FilePartitions | None

    @property
    def assets(self) -> list[dg.AssetsDefinition]:
        """All assets added so far."""


@options_checked("{!r}.files_sensor", DefinitionError)
def table_files_sensor(
    table: TableOfFiles,
    *,
    name: str | None = None,
    minimum_interval_seconds: int = 60,
    settle_seconds: float = 30.0,
    max_unfinished_runs: int = 10,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
) -> dg.SensorDefinition:
    """A sensor that adds the files of a table with `partitions="files"` as partitions, and asks for runs of those.

    Example:
        ```python
        tbl = Table.from_files("events", "s3://bucket/events/**/*.parquet", partitions="files", partition_size="256MB")
        defs = dg.Definitions(assets=tbl.assets, sensors=[tbl.files_sensor()], resources={...})
        ```

    Each tick lists the files. New ones become partitions at once, all of them; runs of all of the table's assets are asked
    for partitions that are new, or one of whose files has changed (by its ETag, or its size and time), at most
    `partitions_per_run` adjacent ones a run. What is unchanged in a changed file costs nothing again. Of a partition that a
    run of the sensor has not ended for, changes wait. A file that is gone changes nothing: its partition, and what was paid
    for, stay. What a failed run did not make is asked for once more, apart from what made it fail; what fails then is named,
    and asked for again once its file has changed.

    Args:
        table: the table: `tbl.files_sensor(...)` gives itself.
        name: of the sensor; by default `<table>_files_sensor`.
        minimum_interval_seconds: seconds between two ticks.
        settle_seconds: how long a file must have been left alone, where the storage shows files that are still being
            written (local disks do, object stores do not).
        max_unfinished_runs: how many runs of the sensor may not have ended; more partitions wait for a later tick.
        default_status: whether it runs before somebody switches it on in the UI.
        tags: of the sensor.
        description: of the sensor; by default what it does.

    Raises DefinitionError for a table whose partitions are not files, and for other options.
    """
    declared = table._file_partitions
    if declared is None:
        msg = (
            f"{table!r}.files_sensor: the table's partitions are not its files; make it by Table.from_files(..., "
            "partitions='files'), or leave the sensor out"
        )
        raise DefinitionError(msg)
    for option, value, least in (
        ("max_unfinished_runs", max_unfinished_runs, 1),
        ("settle_seconds", settle_seconds, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
            msg = f"{table!r}.files_sensor: got {option}={value!r}, allowed: a number from {least} upwards"
            raise DefinitionError(msg)
    name = name or f"{identifier(declared.table)}_files_sensor"
    store_key = table._attributes.resources.columns

    from pxt_assets.files.pattern import redact_urls  # only tables of files need it

    def add_files(
        context: dg.SensorEvaluationContext, **_: Any
    ) -> dg.SensorResult:  # resources, of a direct call
        from pxt_assets.assets.file_partitions.tick import Tick

        secrets: tuple[str, ...] = getattr(getattr(context.resources, store_key), "known_secrets", tuple)()
        with scrubbed_errors(secrets):
            source, columns = _loaded(table, context)
            return Tick(
                declared,
                context,
                str(name),
                store_key,
                settle_seconds,
                int(max_unfinished_runs),
                source=source,
                columns=columns,
            ).result()

    return dg.SensorDefinition(
        name=name,
        job=dg.define_asset_job(f"{name}_job", selection=_TableAssets(table, str(name))),
        evaluation_fn=add_files,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        required_resource_keys={store_key},
        tags=tags,
        description=description
        or f"Adds the files {redact_urls(declared.path)} as partitions as they arrive, and materializes those that are new or changed.",
    )


def _loaded(
    table: TableOfFiles, context: dg.SensorEvaluationContext
) -> tuple[dg.AssetKey, list[dg.AssetKey]]:
    """The keys under which the files, and what is made of each partition of them, are loaded."""
    files, *others = table.assets
    if context.repository_def is None:
        return files.key, []
    graph = context.repository_def.asset_graph
    source = min(loaded_keys(graph, files))
    keys = executable_keys(graph, others) - {source}
    return source, sorted(key for key in keys if graph.get(key).partitions_def == files.partitions_def)


@dataclass(frozen=True)
class _TableAssets(dg.AssetSelection):
    """All of the table's assets that definitions have, as they are when the selection is looked at."""

    table: TableOfFiles
    sensor: str

    def resolve_inner(self, asset_graph: Any, allow_missing: bool) -> Any:
        """The keys in a graph. Raises DefinitionError for none."""
        found = executable_keys(asset_graph, self.table.assets)
        if not found and not allow_missing:
            msg = (
                f"the sensor {self.sensor}: these definitions have no asset of {self.table!r}; give them "
                "assets=[*table.assets], or leave the sensor out"
            )
            raise DefinitionError(msg)
        return found

    def to_selection_str(self) -> str:
        """The assets by their own keys."""
        return LoadedAssets(tuple(self.table.assets)).to_selection_str()
