"""OpenAI functions over tables as Dagster assets.

Example:
    ```python
    import dagster as dg
    from pxt_assets import ColumnStore, OpenAIResource, Table
    from pxt_assets.functions import chat_completions

    tbl = Table(tickets, key="id")
    tbl.add_computed_column(
        response=chat_completions([{"role": "user", "content": tbl.body}], model="gpt-6-luna")
    )
    defs = dg.Definitions(
        assets=[tickets, *tbl.assets],
        resources={"openai": OpenAIResource(), "columns": ColumnStore(base_path="data")},
    )
    ```
"""

from pxt_assets.automation import on_changed_inputs
from pxt_assets.checks import Checks
from pxt_assets.component import ComputedColumnsComponent
from pxt_assets.index.resource import EmbeddingIndexes
from pxt_assets.index_asset import EmbeddingIndex
from pxt_assets.resource import OpenAIResource
from pxt_assets.store import ColumnStore
from pxt_assets.table import Table
from pxt_assets.tools import tool, tools
from pxt_assets.udf import udf

__all__ = [
    "Checks",
    "ColumnStore",
    "ComputedColumnsComponent",
    "EmbeddingIndex",
    "EmbeddingIndexes",
    "OpenAIResource",
    "Table",
    "on_changed_inputs",
    "tool",
    "tools",
    "udf",
]
__version__ = "0.1.0"
