"""Responses that are made in the background for a column's partitions, for who only looks: which are ready to be fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from pxt_assets.api.batches import UnknownResponseError
from pxt_assets.compute.asking.background_ids import BackgroundLook, look_at_background
from pxt_assets.storage.layout import background_folder
from pxt_assets.storage.store import ColumnStore

if TYPE_CHECKING:
    from pxt_assets.api.batches import BackgroundApi

_RAREST_SECONDS = 60.0
"""Seconds between two looks at a response."""
_MOST = 20
"""Partitions that are asked about at once, those that have waited longest: a look is to be short."""

Partition = str | None
Heard = dict[str, tuple[float, bool]]
"""By the id of a response: when it was last asked about, in seconds since 1970, and whether it had ended."""


def partitions_in_background(
    store: ColumnStore, column: dg.AssetKey, partitions: Sequence[Partition]
) -> dict[Partition, BackgroundLook]:
    """What each partition of a column has asked for; their folder is listed once. Raises what the store raises."""
    if not partitions:
        return {}
    folder = background_folder(store.file(column, partitions[0])).parent
    try:
        names = {path.name for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not any(name.endswith(".background") for name in names):
        return {}
    found: dict[Partition, BackgroundLook] = {}
    for partition in partitions:
        file = store.file(column, partition)
        look = look_at_background(file) if background_folder(file).name in names else None
        if look is not None:
            found[partition] = look
    return found


async def ready_responses(
    api: BackgroundApi, looks: Mapping[Partition, BackgroundLook], heard: Heard, clock: Callable[[], float]
) -> dict[Partition, str]:
    """The partitions that have something to fetch, each with a text that names it.

    They are those whose first and last response have ended, or whose time is over. Raises RunError.
    """
    ready: dict[Partition, str] = {}
    oldest = sorted(looks.items(), key=lambda item: item[1].last.at)
    for partition, look in oldest:
        if clock() >= look.last.due:
            ready[partition] = f"{look.last.id}:{look.responses}:over"
    for partition, look in [item for item in oldest if item[0] not in ready][:_MOST]:
        if await _has_ended(api, look.last.id, heard, clock) and await _has_ended(
            api, look.first.id, heard, clock
        ):
            ready[partition] = f"{look.last.id}:{look.responses}"
    return ready


async def _has_ended(api: BackgroundApi, response_id: str, heard: Heard, clock: Callable[[], float]) -> bool:
    at, has_ended = heard.get(response_id, (0.0, False))
    if has_ended or clock() - at < _RAREST_SECONDS:
        return has_ended
    try:
        has_ended = (await api.fetch(response_id)).is_ended
    except UnknownResponseError:
        has_ended = True  # the run asks for it again
    heard[response_id] = clock(), has_ended
    return has_ended
