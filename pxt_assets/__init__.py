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

How it is used is told in the package's folder `docs`, which begins with its `README.md`; `pxt-assets --help` says where.
"""

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.assets.automation import on_changed_inputs
from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.indexes.index_asset import EmbeddingIndex
from pxt_assets.assets.table import Table
from pxt_assets.component import ComputedColumnsComponent
from pxt_assets.index.embedding_indexes import EmbeddingIndexes
from pxt_assets.local.tools import tool, tools
from pxt_assets.local.udf import udf
from pxt_assets.storage.store import ColumnStore

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
