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

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxt_assets.api.openai_resource import OpenAIResource
    from pxt_assets.assets.automation import on_changed_inputs
    from pxt_assets.assets.declarations.checks import Checks
    from pxt_assets.assets.indexes.index_asset import EmbeddingIndex
    from pxt_assets.assets.table import Table
    from pxt_assets.component import ComputedColumnsComponent
    from pxt_assets.functions.questions import choice, predicate, score
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
    "choice",
    "on_changed_inputs",
    "predicate",
    "score",
    "tool",
    "tools",
    "udf",
]
__version__ = "0.1.0"
_MODULES = {
    "Checks": "pxt_assets.assets.declarations.checks",
    "ColumnStore": "pxt_assets.storage.store",
    "ComputedColumnsComponent": "pxt_assets.component",
    "EmbeddingIndex": "pxt_assets.assets.indexes.index_asset",
    "EmbeddingIndexes": "pxt_assets.index.embedding_indexes",
    "OpenAIResource": "pxt_assets.api.openai_resource",
    "Table": "pxt_assets.assets.table",
    "choice": "pxt_assets.functions.questions",
    "on_changed_inputs": "pxt_assets.assets.automation",
    "predicate": "pxt_assets.functions.questions",
    "score": "pxt_assets.functions.questions",
    "tool": "pxt_assets.local.tools",
    "tools": "pxt_assets.local.tools",
    "udf": "pxt_assets.local.udf",
}
"""The module of each name, loaded when the name is first asked for: the command line answers before Dagster is loaded."""
_PUBLIC_MODULES = ("errors", "functions", "types")


def __getattr__(name: str) -> Any:
    if name in _PUBLIC_MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
