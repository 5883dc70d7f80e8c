"""Columns that caption images, an answer that is images, and the errors of rows."""

import base64
from typing import Any

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import chat_completions
from pxt_assets.values.types import Image
from tests.pictures import picture
from tests.runs import stored
from tests.scripted_server import Reply, Script

PICTURE = {"image": Image}
PNG = picture()
COLORS = ("red", "green", "blue", "yellow", "black", "white")


def captioned(tbl: Table, column: str = "image", name: str = "c", **options: Any) -> Any:
    """Adds a column that asks what is to be seen on an image."""
    content = [{"type": "image_url", "image_url": tbl[column]}]
    caption = chat_completions([{"role": "user", "content": content}], model="gpt-6-luna")
    return tbl.add_computed_column(**{name: caption}, **options)


def images(*contents: bytes, **more: Any) -> Script:
    """Answers with these images."""
    data = [{"b64_json": base64.b64encode(content).decode()} for content in contents]
    return lambda _: Reply({"created": 1, "data": data, **more})


def errors(store: ColumnStore, asset: str) -> list[str | None]:
    name = asset.rpartition("/")[2]
    return list(stored(store, asset)[f"{name}_errortype"].to_pylist())
