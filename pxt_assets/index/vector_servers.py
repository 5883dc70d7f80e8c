"""Which servers made an index's vectors: vectors of different servers may have nothing to do with each other."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pxt_assets.api.server_name import AskedServer, names_text
from pxt_assets.errors import SearchError
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.expressions.walk import calls, references
from pxt_assets.index.lance import arrow_metadata, retry_conflicts
from pxt_assets.index.spec import PARTITION
from pxt_assets.index.stored_index import StoredIndex

if TYPE_CHECKING:
    import dagster as dg

    from pxt_assets.storage.rows import Rows

_NAME = "servers"
_ALL = ""
"""Stands for all partitions that are not named; a partition's own name may be empty too: it is the only one then."""
_log = logging.getLogger("pxt_assets.index")
_warned: set[tuple[str, str, str]] = set()


def record_servers(stored: StoredIndex, partition: str, servers: frozenset[str]) -> None:
    """Records which servers made the vectors of a partition, where that is not recorded yet."""
    known = _recorded(stored)
    names = sorted(servers)
    if known.get(partition, known.get(_ALL, [])) == names:
        return
    known[partition] = names
    if partition and stored.partitions() <= {one for one, made_by in known.items() if made_by == names}:
        known = {_ALL: names}
    metadata = arrow_metadata({_NAME: json.dumps(known, sort_keys=True)})
    retry_conflicts(lambda: stored.table.update_field_metadata({"path": PARTITION, "metadata": metadata}))


def servers_of(stored: StoredIndex) -> frozenset[str]:
    """The servers that made the vectors of an index, as far as they are known."""
    return frozenset(name for names in _recorded(stored).values() for name in names)


def _recorded(stored: StoredIndex) -> dict[str, list[str]]:
    metadata = stored.schema.field(PARTITION).metadata or {}
    text = metadata.get(next(iter(arrow_metadata({_NAME: ""}))).encode())
    return dict(json.loads(text)) if text else {}


def check_query_server(stored: StoredIndex, asked: AskedServer) -> None:
    """Warns, once a process, of an index whose vectors another server made than the one that embeds queries.

    Raises SearchError unless on_other_server is "reuse".
    """
    others = [name for name in servers_of(stored) if asked.is_other(name)]
    if not others:
        return
    label, made_by = stored.spec.label, names_text(others)
    what = f"{label} holds vectors of {made_by}, while queries are embedded by {asked.name}, which may be no measure of anything"
    if asked.on_other_server != "reuse":
        msg = (
            f'{what}, and on_other_server is "{asked.on_other_server}": materialize the vectors and the index with '
            'on_other_server="recompute", or ask the server that made them'
        )
        raise SearchError(msg)
    if (label, made_by, asked.name) not in _warned:
        _warned.add((label, made_by, asked.name))
        _log.warning(
            '%s. If that is not meant, materialize the vectors and the index with on_other_server="recompute" on the '
            "OpenAIResource",
            what,
        )


def mixed_vectors(expr: object, rows: Mapping[dg.AssetKey, Rows]) -> Iterable[str]:
    """A warning for each index that an expression searches by vectors of another server than made those of the index."""
    for call in calls(expr):
        stored = getattr(call._function, "stored", None)
        if not isinstance(stored, StoredIndex):
            continue
        columns: list[ColumnRef] = references(call._arguments)
        asked = {name for ref in columns for name in rows[ref._asset].servers}
        made_by = servers_of(stored)
        if any(AskedServer(one).is_other(other) for one in asked for other in made_by):
            yield (
                f"{stored.spec.label} holds vectors of {names_text(made_by)}, and is searched by vectors of {names_text(asked)}, "
                "which may be no measure of anything: materialize the vectors of both, and the index, with "
                'on_other_server="recompute" on the OpenAIResource'
            )
