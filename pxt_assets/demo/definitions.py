"""The code location behind `workspace.yaml`. Environment variables choose what it works on:

PXT_LIVE=1       the real API, if OPENAI_API_KEY is set; the simulator otherwise
PXT_DEMO_STORE   the folder or URL of the computed columns (default .pxt-demo/columns)
PXT_DEMO_FILES   files of your own, `DIR/{partition_key}.csv`, with PXT_DEMO_KEY and PXT_DEMO_TEXT for their columns
"""

import os

import dagster as dg

from pxt_assets.demo.graph import demo_definitions, demo_table
from pxt_assets.demo.own_files import own_partitions


def _table_settings() -> dict[str, object]:
    files = os.environ.get("PXT_DEMO_FILES")
    if not files:
        return {}
    return {
        "files": files,
        "partitions_def": own_partitions(files),
        "key": os.environ.get("PXT_DEMO_KEY", "id"),
        "text": os.environ.get("PXT_DEMO_TEXT", "body"),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """The demo's definitions."""
    return demo_definitions(
        demo_table(**_table_settings()),  # type: ignore[arg-type]
        live=os.environ.get("PXT_LIVE") == "1" and bool(os.environ.get("OPENAI_API_KEY")),
        store=os.environ.get("PXT_DEMO_STORE", ".pxt-demo/columns"),
    )
