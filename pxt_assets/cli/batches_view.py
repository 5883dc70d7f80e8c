"""What `pxt-assets batches` lists and cancels: the answers of all columns of some code locations that come later."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.meter import cost_text
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.assets.cleaning.code_locations import default_target, load_definitions
from pxt_assets.assets.columns.coming_answers import ComingAnswers, coming_answers, records_folder
from pxt_assets.assets.declarations.within import WITHIN_TAG
from pxt_assets.assets.page.waiting import age_text
from pxt_assets.assets.step.resource_keys import RESOURCES_TAG
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.compute.asking.background_ids import BackgroundLook
from pxt_assets.compute.deferred.polling import poll_of
from pxt_assets.compute.deferred.record import BatchRecord, BatchView, with_poll
from pxt_assets.compute.deferred.record_folder import RecordFolder
from pxt_assets.errors import PxtError, RunError
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.scrubbed_errors import scrubbed_errors
from pxt_assets.values.wording import counted

_HEAD = ("column", "partitions", "name", "state", "answers", "failed", "age", "expected", "id")
_ALL = "all"
_MAX_PARTITIONS = 2
"""How many partitions of a batch are named each."""


@dataclass(frozen=True)
class _Column:
    """A column, and the resources that it uses."""

    key: dg.AssetKey
    store: ColumnStore
    openai: OpenAIResource
    partitions: Sequence[str | None]
    within: str | None
    """How long its answers may take, as the column says itself."""


def show_batches(
    *, module: str | None, file: Path | None, workspace: Path | None, cancel: str | None
) -> bool:
    """Prints what is on its way for the columns of the code locations, after `cancel` was cancelled, a name or "all".

    Without a code location that is named, they are those that `dagster` finds in the present folder; as there, the
    variables of its `.env` file count. Returns whether all of it could be looked at. Raises DefinitionError if they cannot
    be loaded, RunError for a name that no batch has.
    """
    from dagster._core.secrets.env_file import get_env_var_dict
    from dagster._utils.env import environ

    if module is None and file is None and workspace is None:
        workspace = default_target(Path.cwd())
        click.echo(f"code locations of {workspace}")
    with environ(get_env_var_dict(str(Path.cwd()))), _columns(module, file, workspace) as columns:
        return run_to_end(_show(columns, cancel))


@contextmanager
def _columns(module: str | None, file: Path | None, workspace: Path | None) -> Iterator[list[_Column]]:
    """The columns that ask the API, with their resources set up."""
    with ExitStack() as stack:
        instance = stack.enter_context(dg.DagsterInstance.get()) if os.environ.get("DAGSTER_HOME") else None
        found: dict[tuple[str, str, dg.AssetKey], _Column] = {}
        for definitions in load_definitions(module=module, file=file, workspace=workspace):
            used = list(_used_resources(definitions))
            keys = {key for _, *both in used for key in both}
            graph = definitions.resolve_asset_graph()
            declared = {key: value for key, value in (definitions.resources or {}).items() if key in keys}
            try:
                built = stack.enter_context(dg.build_resources(declared, instance=instance))._asdict()
            except Exception as e:  # Dagster's, of several kinds
                msg = (
                    f"the resources of the columns cannot be made: {_cause(e)}. The server is asked with them how far batches "
                    "are: set in this shell, or in a .env file here, what they read of the environment"
                )
                raise RunError(msg) from e
            for key, openai_key, store_key in used:
                openai, store = built.get(openai_key), built.get(store_key)
                if isinstance(openai, OpenAIResource) and isinstance(store, ColumnStore):
                    where = (store.base_path, repr(store.storage_options), key)
                    node = graph.get(key)
                    partitions = _partitions(node.partitions_def, instance)
                    column = _Column(key, store, openai, partitions, node.tags.get(WITHIN_TAG))
                    found.setdefault(where, column)  # locations may share one
        yield list(found.values())


def _cause(error: BaseException) -> str:
    """What an error comes from, in a line."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return " ".join(str(error).split()).rstrip(". ")


def _partitions(
    partitions_def: dg.PartitionsDefinition[Any] | None, instance: dg.DagsterInstance | None
) -> Sequence[str | None]:
    """The partitions of a column; of a dynamic one only an instance knows them."""
    if partitions_def is None:
        return [None]
    with partition_loading_context(dynamic_partitions_store=instance):
        is_known = instance is not None or not isinstance(partitions_def, dg.DynamicPartitionsDefinition)
        return list(partitions_def.get_partition_keys()) if is_known else []


def _used_resources(definitions: dg.Definitions) -> Iterator[tuple[dg.AssetKey, str, str]]:
    """Each column with the keys of the API and of the store that it uses."""
    for node in definitions.resolve_asset_graph().asset_nodes:
        if not node.is_executable or not isinstance(node.assets_def, TableAsset):
            continue
        of_op: dict[str, str] = json.loads(node.assets_def.op.tags.get(RESOURCES_TAG, "{}"))
        keys = {name: key for key, name in of_op.items()}
        if {"openai", "columns"} <= keys.keys():
            yield node.key, keys["openai"], keys["columns"]


async def _show(columns: Sequence[_Column], cancel: str | None) -> bool:
    found: list[tuple[_Column, ComingAnswers]] = []
    is_whole = True
    for column in columns:
        secrets = (*column.openai.known_secrets(), *column.store.known_secrets())
        with scrubbed_errors(secrets):
            coming = await coming_answers(column.store, column.openai, column.key, column.partitions, {})
        if coming.problem is not None:
            is_whole = False
            click.echo(f"{column.key.to_user_string()}: {_printable(coming.problem)}", err=True)
        found.append((column, coming))
    if cancel is not None:
        return await _cancel(found, cancel) and is_whole
    now = time.time()
    lines = [
        _cells(column.key, record.waiting_partitions, record.view(now))
        for column, coming in found
        for record in coming.records
        if record.waiting_partitions
    ]
    lines += [
        _response_cells(column.key, partition, look, now)
        for column, coming in found
        for partition, look in coming.responses.items()
    ]
    views = [r.view(now) for _, coming in found for r in coming.records if r.waiting_partitions]
    if not lines:
        click.echo(_nothing_text(columns) if is_whole else "Nothing is known to be on its way.")
        return is_whole
    for line in _aligned(_without_empty([_HEAD, *lines], "partitions")):
        click.echo(line)
    if not views:
        return is_whole
    costs = [one.cost_usd for one in views]
    cost = None if None in costs else sum(one for one in costs if one is not None)
    there, of = sum(one.completed + one.failed for one in views), sum(one.total for one in views)
    click.echo(
        f"{counted(len(views), 'batch', 'batches')}: {there:,} of {counted(of, 'answer')} there, expected {cost_text(cost)}"
    )
    return is_whole


async def _cancel(found: Sequence[tuple[_Column, ComingAnswers]], name: str) -> bool:
    chosen = [
        (column, record)
        for column, coming in found
        for record in coming.records
        if name in (_ALL, record.name, record.batch_id)
    ]
    if not chosen and name != _ALL:
        known = [record.name for _, coming in found for record in coming.records]
        msg = f"no batch is named {name!r}; there are: {', '.join(known) or 'none'}"
        raise RunError(msg)
    is_done = True
    if any(coming.responses for _, coming in found):
        click.echo("What is made in the background is ended by a run of its column with within: now.")
    elif not chosen:
        click.echo("There was nothing to cancel.")
    for column, record in chosen:
        try:
            said = await _cancel_one(column, record)
        except PxtError as e:
            is_done, said = False, f"could not be cancelled: {_printable(e)}"
        click.echo(f"{column.key.to_user_string()} {record.name}: {said}")
    return is_done


async def _cancel_one(column: _Column, record: BatchRecord) -> str:
    """Cancels a batch; what came of it, for a person."""
    name = column.key.to_user_string()
    again = "the next run of it that somebody asks for submits it again, or with within: now asks it at once"
    if record.state == "ended" or record.poll.is_ended:
        return f"has ended already; the next run of {name} collects it"
    if record.batch_id is None:
        return f"is not submitted yet; {again}"
    async with column.openai.batch_api() as api:
        state = await api.cancel(record.batch_id)
    heard = with_poll(record, poll_of(state, time.time(), record.poll))
    with suppress(PxtError):  # it is cancelled all the same, which is heard at the next look
        RecordFolder(records_folder(column.store, column.key)).write_poll(heard)
    return f"{state.status}; the next run of {name} collects what was finished of it. What was not: {again}"


def _nothing_text(columns: Sequence[_Column]) -> str:
    """That nothing is on its way, and of which columns something might be."""
    later = [f"{one.key.to_user_string()} ({one.within})" for one in columns if one.within is not None]
    if not later:
        return f"Nothing is on its way. Of {counted(len(columns), 'column')} that {'asks' if len(columns) == 1 else 'ask'} the API none has `within`."
    return f"Nothing is on its way. Columns whose answers may come later: {', '.join(later)}."


def _partitions_text(partitions: Sequence[str | None]) -> str:
    """`mon, tue`; of more the first and the last: `2026-03-01 ... 2026-03-31 (31)`. Nothing for a column without any."""
    names = [_printable(one) for one in partitions if one is not None]
    if len(names) <= _MAX_PARTITIONS:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]} ({len(names):,})"


def _cells(column: dg.AssetKey, partitions: Sequence[str | None], batch: BatchView) -> tuple[str, ...]:
    return (
        column.to_user_string(),
        _partitions_text(partitions),
        batch.name,
        batch.state,
        f"{batch.completed + batch.failed:,} of {batch.total:,}",
        f"{batch.failed:,}",
        age_text(batch.age_s),
        cost_text(batch.cost_usd),
        batch.id or "",
    )


def _response_cells(
    column: dg.AssetKey, partition: str | None, look: BackgroundLook, now: float
) -> tuple[str, ...]:
    """What a partition has asked for in the background."""
    name, age = f"background {look.last.window}", age_text(now - look.first.at)
    return (
        *(column.to_user_string(), _partitions_text([partition]), name, "on its way"),
        *(f"{look.responses:,}", "", age, "", f"{look.first.id} ... {look.last.id}"),
    )


def _without_empty(rows: Sequence[Sequence[str]], name: str) -> list[list[str]]:
    """The rows without the column of that name, if only its head says something."""
    place = rows[0].index(name)
    is_empty = not any(row[place] for row in rows[1:])
    return [[cell for i, cell in enumerate(row) if not (is_empty and i == place)] for row in rows]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _printable(error: Any) -> str:
    """A message without characters that a terminal would take for a command."""
    return "".join(c if c.isprintable() else " " for c in str(error))
