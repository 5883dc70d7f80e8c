"""One tick of the sensor of a table's files: what is new or changed, and the runs that read it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    SENSOR_NAME_TAG,
)

from pxt_assets.assets.declarations.file_partitions import FilePartitions
from pxt_assets.assets.file_partitions.asked import COUNT_TAG, RUN_TAG, TABLE_TAG, again
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.files.assigned import AssignedFile, assign_files, partition_digests
from pxt_assets.files.listing import Listed, list_files, nothing_found_text
from pxt_assets.storage.files_record import Asked, FilesRecord
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.wording import counted

_ADDED_AT_ONCE = 5_000
"""Keys in a statement: databases bound the values in one."""
_MANY_PARTITIONS = 100_000
"""From which on Dagster's pages and backfills become slow."""


@dataclass
class Tick:
    """One evaluation of the sensor; `clock` gives the seconds since 1970."""

    declared: FilePartitions
    context: dg.SensorEvaluationContext
    sensor: str
    store_key: str
    settle_seconds: float
    max_unfinished_runs: int
    clock: Callable[[], float] = time.time
    source: dg.AssetKey | None = None
    """The key under which the table is loaded."""
    columns: Sequence[dg.AssetKey] = ()

    def result(self) -> dg.SensorResult:
        """The runs to ask for, or why there are none. Raises SourceError where files or records cannot be read."""
        declared, cursor = self.declared, self.context.cursor
        found = list_files(declared.path, declared.schema, declared.storage_options)
        settled = self._settled(found)
        record = self._record()
        known = record.assigned()
        files = assign_files(known, settled, declared.group_bytes)
        if files != known:
            if (latest := record.assigned()) != known:  # by another sensor, meanwhile: what it assigned stays
                files = assign_files(latest, settled, declared.group_bytes)
            record.assign(files)
        digests = partition_digests(files.values())
        there = {files[path].partition for path in found if path in files}
        keys, added = self._add_partitions([key for key in digests if key in there], record)
        requested = record.requested(cursor)
        due = {
            key: place
            for place, key in enumerate(keys)
            if key in there
            and (key in added or key not in requested or requested[key].digest != digests[key])
        }
        asked_before = {key: one for key, one in requested.items() if key in there and key not in due}
        unfinished = self._unfinished(keys, asked_before) if due or asked_before else []
        busy = {key for run in unfinished for key in run}
        more, failed = again(
            self.context.instance,
            {key: one for key, one in asked_before.items() if one.run and key not in busy},
            self._source,
            self.columns,
        )
        due = {key: place for place, key in enumerate(keys) if key in due or key in more}
        ranges = list(_ranges([key for key in due if key not in busy], due, more, declared.per_run))
        chosen = ranges[: max(0, self.max_unfinished_runs - len(unfinished))]
        told = self._told(files, found, settled, digests)
        if failed:
            named = ", ".join(failed[:3]) + (" and others" if len(failed) > 3 else "")
            told += (
                f"; {counted(len(failed), 'partition')} failed or {'was' if len(failed) == 1 else 'were'} canceled, and "
                f"{'is' if len(failed) == 1 else 'are'} asked for again once the files have changed: {named}. "
                "Mend the files, or materialize them in Dagster once the cause is gone"
            )
        waiting = len(due) - sum(map(len, chosen))
        if waiting:
            told += (
                f"; {counted(waiting, 'partition')} to be run {'waits' if waiting == 1 else 'wait'} for a later tick: "
                f"{counted(len(unfinished), 'run')} of this sensor had not ended, allowed are {self.max_unfinished_runs}"
            )
        if not chosen:
            return dg.SensorResult(skip_reason=told, cursor=cursor)
        self.context.log.info(told)
        after = self.context.instance.event_log_storage.get_maximum_record_id() or 0
        runs = [uuid.uuid4().hex for _ in chosen]
        asked = {
            key: Asked(digests[key], run, after, more.get(key, 0))
            for run, one in zip(runs, chosen, strict=True)
            for key in one
        }
        # what a partition was asked with that Dagster has no more is of no use
        kept = {key: digest for key, digest in requested.items() if key in digests and key not in added}
        cursor = record.request({**kept, **asked}, cursor)
        requests = [_run_request(one, run, self._source) for run, one in zip(runs, chosen, strict=True)]
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    def _settled(self, found: Mapping[str, Listed]) -> dict[str, Listed]:
        """The files that nobody is writing any more, by the clocks of this machine and of the storage.

        Where these disagree, a file may be taken while it is being written; once it is whole, it has changed, and is read again.
        """
        now, seconds = self.clock(), self.settle_seconds
        return {
            path: one
            for path, one in found.items()
            if one.modified is None or abs(now - one.modified) >= seconds
        }

    def _record(self) -> FilesRecord:
        label = f"the sensor {self.sensor}"
        store = used_resource(self.context.resources, self.store_key, ColumnStore, label)
        return FilesRecord(store, self._source)

    @property
    def _source(self) -> dg.AssetKey:
        return self.source or self.declared.table

    def _add_partitions(
        self, digests: Sequence[str], record: FilesRecord
    ) -> tuple[Sequence[str], frozenset[str]]:
        """The keys that Dagster has after those that it lacked were added, in its order, and which were added.

        Added here, and not by Dagster after the tick, which asks its database for each key.
        """
        instance, name = self.context.instance, str(self.declared.partitions_def.name)
        keys = instance.get_dynamic_partitions(name)
        there = set(keys)
        lacking = [key for key in digests if key not in there]
        if lacking:  # before they are there: a tick that does not come to its end leaves them to be asked for
            record.forget({*lacking}, self.context.cursor)
        for start in range(0, len(lacking), _ADDED_AT_ONCE):
            instance.add_dynamic_partitions(name, lacking[start : start + _ADDED_AT_ONCE])
        if lacking:
            keys = instance.get_dynamic_partitions(name)
            self.context.log.info(f"Added {counted(len(lacking), 'partition')} to {name}")
        if len(keys) > _MANY_PARTITIONS:
            self.context.log.warning(
                f"{name} has {len(keys):,} partitions; Dagster's pages and backfills become slow from about "
                f"{_MANY_PARTITIONS:,} on. A (larger) partition_size makes fewer of files that are new"
            )
        return keys, frozenset(lacking)

    def _unfinished(self, keys: Sequence[str], asked: Mapping[str, Asked]) -> list[Sequence[str]]:
        """The partitions of each run of this sensor that has not ended."""
        own = dg.RunsFilter(
            tags={SENSOR_NAME_TAG: self.sensor, TABLE_TAG: self._source.to_user_string()},
            statuses=NOT_FINISHED_STATUSES,
        )
        runs = self.context.instance.get_runs(own)
        places = {key: place for place, key in enumerate(keys)} if runs else {}
        of_run: dict[str, list[str]] = {}
        for key, one in asked.items() if runs else ():
            of_run.setdefault(one.run, []).append(key)
        return [  # of a range that has become another one, both what it was and what it is
            [*_partitions_of(run, keys, places), *of_run.get(run.tags.get(RUN_TAG, ""), ())] for run in runs
        ]

    def _told(
        self,
        files: Mapping[str, AssignedFile],
        found: Mapping[str, Listed],
        settled: Mapping[str, Listed],
        digests: Mapping[str, str],
    ) -> str:
        """What there is, in a sentence."""
        declared = self.declared
        if not found and not files:
            return nothing_found_text(declared.path, declared.schema, declared.storage_options)
        told = f"{counted(len(files), 'file')} in {counted(len(digests), 'partition')}"
        if gone := sum(path not in found for path in files):
            told += (
                f"; {gone} of them {'is' if gone == 1 else 'are'} gone, and what is stored of them is kept"
            )
        if young := len(found) - len(settled):
            told += f"; {counted(young, 'file')} changed less than {self.settle_seconds:g} s ago, left for a later tick"
        return told


def _partitions_of(run: dg.DagsterRun, keys: Sequence[str], places: Mapping[str, int]) -> Sequence[str]:
    """The partitions of a run; none for one of partitions that are not there any more."""
    first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG, run.tags.get(PARTITION_NAME_TAG, ""))
    last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG, first)
    if first not in places or last not in places:
        return ()
    return keys[places[first] : places[last] + 1]


def _ranges(
    due: Sequence[str], places: Mapping[str, int], more: Mapping[str, int], most: int
) -> Iterator[list[str]]:
    """The keys, in their order, as lists of adjacent ones, of `most` at most: what a run can be given as a range.

    What failed is apart from what is new, and what could not be read from what only lacks its columns.
    """
    together: list[str] = []
    for key in due:
        if together and (
            len(together) == most
            or places[key] != places[together[-1]] + 1
            or more.get(key) != more.get(together[-1])
        ):
            yield together
            together = []
        together.append(key)
    if together:
        yield together


def _run_request(partitions: Sequence[str], run_key: str, source: dg.AssetKey) -> dg.RunRequest:
    tags = {RUN_TAG: run_key, TABLE_TAG: source.to_user_string()}
    if len(partitions) == 1:
        return dg.RunRequest(run_key=run_key, partition_key=partitions[0], tags=tags)
    return dg.RunRequest(
        run_key=run_key,
        tags={
            **tags,
            COUNT_TAG: str(len(partitions)),
            ASSET_PARTITION_RANGE_START_TAG: partitions[0],
            ASSET_PARTITION_RANGE_END_TAG: partitions[-1],
        },
    )
