"""What results of a column's checks have in common: which rows they name, and of which partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.assets.page.checked_partitions import Checked

MAX_RECORDS = 20
"""How many rows a result names."""
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def rows_warning(
    key: dg.AssetKey,
    check: str,
    kind: str,
    checked: Checked,
    counts: Mapping[str | None, int],
    row_keys: Mapping[str | None, Sequence[str]],
    description: str,
) -> dg.AssetCheckResult:
    """A result that warns of `counts` rows a partition; `row_keys` are the keys of the first ones in each."""
    records = [
        {"row": row, **partition_entry(partition)} for partition, rows in row_keys.items() for row in rows
    ]
    count = sum(counts.values())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check,
        passed=not count,
        severity=WARN,
        description=description,
        metadata={
            f"pxt/rows_{kind}": count,
            **partitions_metadata(checked, counts),
            **records_table(f"pxt/{kind}_rows", records),
        },
    )


def partition_entry(partition: str | None) -> dict[str, str]:
    """What names the partition of a row, if it has one."""
    return {} if partition is None else {"partition": partition}


def partitions_metadata(checked: Checked, counts: Mapping[str | None, int]) -> dict[str, Any]:
    """Of how many partitions a result speaks, and in which of them it found rows."""
    if not checked.has_partitions:
        return {}
    found = [partition for partition, count in counts.items() if count and partition is not None]
    return {"pxt/partitions_checked": len(checked.all), **({"pxt/partitions": found} if found else {})}


def records_table(title: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first of some records as a table; nothing where there are none."""
    if not records:
        return {}
    return {title: dg.MetadataValue.table([dg.TableRecord(dict(one)) for one in records[:MAX_RECORDS]])}
