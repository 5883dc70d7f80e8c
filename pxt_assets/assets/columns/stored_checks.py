"""What the checks of a column find in its stored partitions: the findings that are kept with each file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import dagster as dg

from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.declarations.validation import is_moderation
from pxt_assets.compute.partition.findings import Findings, findings_from_metadata, stored_findings
from pxt_assets.errors import SourceError
from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.store import ColumnStore

_THREADS = 16
"""An object store takes some hundredths of a second for each file."""
_MAX_OTHERS = 1_000
"""Further partitions that are looked at, the last ones: each of a backfill's runs looks at all others."""

Partition = str | None


class StoredPartitions:
    """The stored partitions of a column, in a run of some of them.

    Only the files' metadata is read: it holds the findings. `errors` that keep a file from being read are logged.
    """

    def __init__(
        self,
        spec: ColumnSpec,
        store: ColumnStore,
        context: dg.AssetExecutionContext,
        partitions: Sequence[Partition],
    ) -> None:
        self._spec, self._store, self._context = spec, store, context
        layer = (
            context.job_def.asset_layer
        )  # a definition of which checks alone are selected has no partitions
        definition = layer.get(spec.key).partitions_def if layer.has(spec.key) else spec.partitions_def
        self._definition = definition
        self.of_run: tuple[Partition, ...] = tuple(partitions)
        """The partitions of the run; all stored ones for a run of none in particular."""
        if self.of_run == (None,) and definition is not None:
            self.of_run = tuple(self._stored())

    def find_of_run(self, computed: Iterable[Partition] = ()) -> dict[Partition, Findings]:
        """The findings of the run's partitions, without those it computed."""
        left_out = set(computed)
        find = partial(
            stored_findings,
            name=self._spec.name,
            key=self._spec.row_key,
            moderates=is_moderation(self._spec.expr),
            questions=self._spec.questions,
        )
        found = self._read([one for one in self.of_run if one not in left_out], find)
        return {partition: one for partition, one in found.items() if one is not None}

    def find_others(self) -> tuple[dict[Partition, Findings], int]:
        """The findings of further partitions, and how many were not looked at."""
        if self._definition is None:
            return {}, 0
        of_run = set(self.of_run)
        others = [one for one in self._stored() if one not in of_run]
        found = self._read(others[-_MAX_OTHERS:], _kept_findings)
        known = {partition: one for partition, one in found.items() if one is not None}
        return known, len(others) - len(known)

    def _stored(self) -> list[str]:
        assert self._definition is not None
        keys = self._definition.get_partition_keys(dynamic_partitions_store=self._context.instance)
        return self._store.stored_partitions(self._spec.key, keys)

    def _read(
        self, partitions: Sequence[Partition], find: Callable[[ParquetFile], Findings | None]
    ) -> dict[Partition, Findings | None]:
        """What `find(file)` gives for each partition that is stored and can be read, in this order."""

        def read(partition: Partition) -> Findings | None:
            file = self._store.file(self._spec.key, partition)
            try:
                return find(file)
            except FileNotFoundError:
                return None
            except (OSError, SourceError) as e:
                problem = type(e).__name__
                self._context.log.warning(f"the checks could not look at {file.uri}: {problem}")
                return None

        if len(partitions) < 2:
            return {partition: read(partition) for partition in partitions}
        with DaemonThreadPool(min(_THREADS, len(partitions))) as threads:
            return dict(zip(partitions, threads.map(read, partitions), strict=True))


def _kept_findings(file: ParquetFile) -> Findings | None:
    """The findings that are kept with a file; None for one of an early version, whose cells would have to be read."""
    return findings_from_metadata(file.metadata)
