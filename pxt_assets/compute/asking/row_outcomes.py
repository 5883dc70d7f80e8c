"""The outcomes of a partition's rows: each goes to the journal, and is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pxt_assets.api.client import Client
from pxt_assets.api.server_name import SIMULATOR
from pxt_assets.compute.asking.row_counts import RowCounts
from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.partition.plan import memory_bytes
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance
from pxt_assets.values.digest import simulated_digest
from pxt_assets.values.types import ColumnType, ImageData, ImageList, is_media


class RowOutcomes:
    """Journals and counts what becomes of rows. `server` is the one that `client` asks, unless it is a simulator."""

    def __init__(
        self,
        column_type: type[ColumnType] | None,
        counts: RowCounts,
        journal: Journal,
        client: Client | None,
        server: str | None,
        note_failure: Callable[[int, CellError], None],
    ) -> None:
        self._holds_media = column_type is not None and (
            column_type in (ImageData, ImageList) or is_media(column_type)
        )
        self._counts = counts
        self._journal = journal
        self._client = client
        self._server = server
        self._note_failure = note_failure

    def answered(self, digest: bytes, value: Any, provenance: Provenance) -> None:
        """Notes a cell's value."""
        self._journal_cell(digest, value, None, None, provenance)
        self._counts.finish(digest, None, is_null=value is None)

    def failed(self, row: int, digest: bytes, error: CellError, provenance: Provenance) -> None:
        """Notes a cell's error."""
        e = error if self._client is None else error.without_secrets(self._client.scrub)
        self._counts.finish(digest, e.errortype, is_null=False)
        self._note_failure(row, e)
        if provenance.request_id is None:
            provenance = replace(provenance, request_id=e.request_id)
        if self._client is not None and provenance.server is None:
            provenance = replace(provenance, server=SIMULATOR if self._client.simulated else self._server)
        self._journal_cell(digest, e.value, e.errortype, e.message, provenance)

    def _journal_cell(
        self, digest: bytes, value: Any, errortype: str | None, errormsg: str | None, provenance: Provenance
    ) -> None:
        simulated = self._client is not None and bool(self._client.simulated)
        stored_digest = simulated_digest(digest) if simulated else digest
        size = memory_bytes(value) if self._holds_media else int(getattr(value, "nbytes", 0))
        cell = Cell(stored_digest, value, errortype, errormsg, simulated, size, provenance, time.time_ns())
        self._journal.append(cell)
