"""The code location behind `workspace.yaml`. Environment variables choose what it works on:

PXT_LIVE=1       the real API, if OPENAI_API_KEY is set; the simulator otherwise
PXT_DEMO_STORE   the folder or URL of the computed columns (default .pxt-demo/columns)
PXT_DEMO_FILES   files of your own, `DIR/{partition_key}.csv`, with PXT_DEMO_KEY and PXT_DEMO_TEXT for their columns,
                 in place of the demo's tickets and photos
"""

import os

import dagster as dg

from pxt_assets.assets.table import Table
from pxt_assets.demo.graph import demo_definitions, demo_tables, tickets_table
from pxt_assets.demo.user_files import user_partitions


def _tables() -> list[Table]:
    files = os.environ.get("PXT_DEMO_FILES")
    if not files:
        return demo_tables()
    key, text = os.environ.get("PXT_DEMO_KEY", "id"), os.environ.get("PXT_DEMO_TEXT", "body")
    return [tickets_table(files, user_partitions(files), key=key, text=text)]


@dg.definitions
def defs() -> dg.Definitions:
    """The demo's definitions."""
    return demo_definitions(
        _tables(),
        live=os.environ.get("PXT_LIVE") == "1" and bool(os.environ.get("OPENAI_API_KEY")),
        store=os.environ.get("PXT_DEMO_STORE", ".pxt-demo/columns"),
    )
