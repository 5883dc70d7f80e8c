"""What became of the partitions that a sensor of files asked runs for: made, to be asked for once more, or failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from pxt_assets.storage.files_record import Asked

RUN_TAG = "pxt/files_run"
"""Names what a run was asked for with; Dagster's retries of a run have its tags."""
TABLE_TAG = "pxt/files_table"
COUNT_TAG = "pxt/files_count"
"""How many partitions a run's range had as it was asked for: whoever deletes partitions moves those that come back."""
_FIRST, _SOURCE, _COLUMNS = 0, 1, 2
_LOOKED_UP = 500


def again(
    instance: dg.DagsterInstance,
    asked: Mapping[str, Asked],
    source: dg.AssetKey,
    columns: Sequence[dg.AssetKey],
) -> tuple[dict[str, int], list[str]]:
    """The partitions to be asked for once more, with which time it is, and those that failed for good.

    Where the files themselves failed, they are read once more, in runs of their own; where only the columns are missing, these
    are made once more without what kept them from it. A run that somebody canceled is not asked for again, nor one that
    is not there (any more).
    """
    if not asked:
        return {}, []
    status = _statuses(instance, sorted({one.run for one in asked.values()}))
    ended = {key: one for key, one in asked.items() if status.get(one.run) in _ENDED}
    if not ended:
        return {}, []
    keys = {*ended} if len(ended) <= _LOOKED_UP else None

    def made(asset: dg.AssetKey) -> set[str]:
        latest = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION, keys
        )
        return {key for key, one in ended.items() if latest.get(key, 0) > one.after}

    read, computed = made(source), [made(column) for column in columns]
    more: dict[str, int] = {}
    failed: list[str] = []
    for key, one in ended.items():
        # answers may come after a run that succeeded
        whole = all(key in column for column in computed) or status[one.run] == dg.DagsterRunStatus.SUCCESS
        if key in read and whole:
            continue
        stage = _COLUMNS if key in read else _SOURCE
        if one.again < stage and status[one.run] != dg.DagsterRunStatus.CANCELED:
            more[key] = stage
        else:
            failed.append(key)
    return more, failed


_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def _statuses(instance: dg.DagsterInstance, runs: Sequence[str]) -> dict[str, dg.DagsterRunStatus]:
    """How the last run of each name is, of those that Dagster does not start again by itself."""
    found: dict[str, dg.DagsterRunStatus] = {}
    for start in range(0, len(runs), _LOOKED_UP):
        for run in instance.get_runs(dg.RunsFilter(tags={RUN_TAG: [*runs[start : start + _LOOKED_UP]]})):
            to_come = run.tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in run.tags
            found.setdefault(run.tags[RUN_TAG], dg.DagsterRunStatus.STARTED if to_come else run.status)
    return found
