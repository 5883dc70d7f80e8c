"""Stored answers that are no results: earlier versions kept an answer that an error had cut short, or that was empty.

A file or a segment that was written since says so (`ANSWERS_CHECKED`), so only those of earlier versions are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pxt_assets.api.inner_failure import BROKEN_OFF
from pxt_assets.errors import CellError
from pxt_assets.values.conversion import json_texts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.api.request import Endpoint
    from pxt_assets.storage.parquet import ParquetFile

ANSWERS_CHECKED = "answers_checked"
"""In the metadata of what holds no failed answers."""
_ROWS = 8_192
_TELLING = (
    '"error":{',
    '"error":"',
    '"choices":[]',
    '"choices":[null',
    '"message":null',
    '"results":[]',
    '"results":[null',
)
_SUSPECT = "|".join(
    [
        f'"finish_reason":"(?:{"|".join(sorted(BROKEN_OFF))})"',
        *(re.escape(text) for text in _TELLING),
    ]
)
"""What a failed answer holds, in the compact JSON that is stored. Others may hold it too, so the endpoint decides."""


def failed_answers(values: pa.Array | pa.ChunkedArray, endpoint: Endpoint) -> npt.NDArray[np.bool_]:
    """Which cells hold an answer that the endpoint does not take for a result, `bool[n]`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    failed = np.zeros(len(values), bool)
    if not isinstance(values.type, pa.JsonType):
        return failed
    texts = json_texts(values)
    suspect = pc.fill_null(pc.match_substring_regex(texts, _SUSPECT), False)
    for i in pc.indices_nonzero(suspect).to_pylist():
        failed[i] = not _is_result(texts[i].as_py(), endpoint)
    return failed


def failed_rows(file: ParquetFile, name: str, endpoint: Endpoint | None) -> npt.NDArray[np.int64]:
    """The rows of a column's file with such answers, `int64[n]`; none where the column is no endpoint's answers."""
    import numpy as np

    if endpoint is None or file.metadata.get(ANSWERS_CHECKED):
        return np.empty(0, np.int64)
    masks = [failed_answers(batch[name], endpoint) for batch in file.rows().batches([name], _ROWS)]
    return np.flatnonzero(np.concatenate(masks)) if masks else np.empty(0, np.int64)


def mark_checked(cells: pa.Table) -> pa.Table:
    """The same cells, with the mark that they hold no failed answers."""
    return cells.replace_schema_metadata({**(cells.schema.metadata or {}), ANSWERS_CHECKED: "true"})


def is_marked(metadata: Mapping[bytes, bytes] | None) -> bool:
    """Whether a segment of that metadata has the mark."""
    return ANSWERS_CHECKED.encode() in (metadata or {})


def _is_result(text: str, endpoint: Endpoint) -> bool:
    try:
        endpoint.parse(text.encode(), {})
    except (ValueError, CellError):
        return False
    return True
