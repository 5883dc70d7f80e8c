"""The code location behind `workspace.yaml`. Environment variables choose what it works on:

PXT_LIVE=1       the real API, if OPENAI_API_KEY is set; the simulator otherwise
PXT_DEMO_STORE   the folder or URL of the computed columns (default .pxt-demo/columns)
PXT_DEMO_FILES   a file of your own, or several, `DIR/{partition_key}.csv`, in place of the demo's tickets and photos; with
                 PXT_DEMO_KEY, PXT_DEMO_TEXT, PXT_DEMO_SEPARATOR and PXT_DEMO_ENCODING as the options of `pxt-assets demo`
"""

import os

import dagster as dg

from pxt_assets.demo.graph import demo_definitions, demo_tables
from pxt_assets.demo.user_files import UserFiles
from pxt_assets.demo.user_table import user_table


@dg.definitions
def defs() -> dg.Definitions:
    """The demo's definitions."""
    files = UserFiles.of_environment(os.environ)
    return demo_definitions(
        demo_tables() if files is None else [user_table(files)],
        live=os.environ.get("PXT_LIVE") == "1" and bool(os.environ.get("OPENAI_API_KEY")),
        store=os.environ.get("PXT_DEMO_STORE", ".pxt-demo/columns"),
    )
