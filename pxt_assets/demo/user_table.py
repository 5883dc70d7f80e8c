"""The demo's table of files of the user's own."""

from __future__ import annotations

import hashlib

import dagster as dg

from pxt_assets.assets.table import Table
from pxt_assets.demo.graph import tickets_table
from pxt_assets.demo.user_files import UserFiles


def user_table(files: UserFiles) -> Table:
    """The table of a user's files, of one without partitions. Raises DefinitionError."""
    return tickets_table(
        files.pattern,
        user_partitions(files.pattern) if files.is_partitioned else None,
        key=files.key,
        text=files.text,
        description="Texts of your own, a file a partition."
        if files.is_partitioned
        else "Texts of your own.",
        separator=files.separator,
        encoding=files.encoding,
    )


def user_partitions(pattern: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a pattern's files. Their keys are stored in the Dagster instance, not read at load time."""
    return dg.DynamicPartitionsDefinition(
        name=f"files_{hashlib.blake2b(pattern.encode(), digest_size=6).hexdigest()}"
    )
