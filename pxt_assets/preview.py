"""A few rows as a Markdown table, images as thumbnails. Whatever a cell holds is untrusted: none of it is markup."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from pxt_assets.media import Media, opened
from pxt_assets.sniff import IMAGE_FORMATS
from pxt_assets.values import to_python

if TYPE_CHECKING:
    import pyarrow as pa

_CELL_CHARACTERS = 160
_THUMBNAIL_PIXELS = 96
_THUMBNAILS_A_CELL = 3
_DECODED_PIXELS = 50_000_000
"""A few KB may claim to be billions."""
_THUMBNAIL_BYTES = 40_000
"""Of all thumbnails of a preview: it is stored in Dagster's event log."""


def preview(rows: pa.Table) -> str:
    """A Markdown table of some rows, without the columns of errors if there are none."""
    shown = [name for name in rows.column_names if name != "_digest"]
    hidden = {
        n for n in shown if n.endswith(("_errortype", "_errormsg")) and rows[n].null_count == rows.num_rows
    }
    shown = [name for name in shown if name not in hidden]
    lines = ["| " + " | ".join(map(escaped, shown)) + " |", "|" + " --- |" * len(shown)]
    columns = [to_python(rows[name]) for name in shown]
    thumbnails = _Thumbnails()
    for row in zip(*columns, strict=True):
        lines.append("| " + " | ".join(_cell(value, thumbnails) for value in row) + " |")
    return "\n".join(lines)


def _cell(value: object, thumbnails: _Thumbnails) -> str:
    if value is None:
        return "*null*"
    if isinstance(value, Media):
        return thumbnails.of(value)
    images = value.get("data") if isinstance(value, Mapping) else value
    if _is_media_list(images):
        more = f" and {len(images) - _THUMBNAILS_A_CELL} more" if len(images) > _THUMBNAILS_A_CELL else ""
        return " ".join(map(thumbnails.of, images[:_THUMBNAILS_A_CELL])) + more
    if isinstance(value, list) and len(value) > 8 and all(isinstance(v, float) for v in value):
        head = ", ".join(f"{v:.3f}" for v in value[:4])
        return escaped(f"[{head}, … {len(value)} numbers]")
    text = value if isinstance(value, str) else _brief(value)
    return escaped(text if len(text) <= _CELL_CHARACTERS else text[:_CELL_CHARACTERS] + "…")


def _is_media_list(value: object) -> TypeGuard[list[Media]]:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Media) for v in value)


def _brief(value: object) -> str:
    """A JSON value as text; of a model's answer what it says."""
    if isinstance(value, Mapping):
        if value.get("parsed") is not None:
            return str(value["parsed"])
        if isinstance(value.get("output_text"), str) and value["output_text"]:
            return str(value["output_text"])
        choices = value.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            message = choices[0].get("message") or {}
            return str(message.get("content") if message.get("content") is not None else message)
    return str(value)


class _Thumbnails:
    """Small copies of images, as many as a preview may hold."""

    def __init__(self) -> None:
        self._left = _THUMBNAIL_BYTES

    def of(self, media: Media) -> str:
        """The image as Markdown; a sound, and an image that cannot be opened, as what it is."""
        if media.format in IMAGE_FORMATS and media.content is not None and self._left > 0:
            try:
                small = _thumbnail(media.content)
            except Exception:  # Pillow's plugins raise what they like for what is broken further in
                return escaped(_described(media))
            self._left -= len(small)
            return f"![{media.format}](data:image/jpeg;base64,{base64.b64encode(small).decode()})"
        return escaped(_described(media))


def _described(media: Media) -> str:
    if media.content is None:
        return "image at a URL"
    return f"{media.format or 'media'}, {media.size / 1024:,.1f} KB"


def _thumbnail(content: bytes) -> bytes:
    """A JPEG of at most _THUMBNAIL_PIXELS a side, transparent parts white. Raises whatever Pillow does."""
    import PIL.Image

    image: Any = opened(content)
    image.draft("RGB", (_THUMBNAIL_PIXELS * 2, _THUMBNAIL_PIXELS * 2))  # a JPEG is decoded at about that size
    if image.width * image.height > _DECODED_PIXELS:
        msg = "it would take too much memory"
        raise ValueError(msg)
    image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(paper, image)
    target = io.BytesIO()
    image.convert("RGB").save(target, "JPEG", quality=70)
    return target.getvalue()


def escaped(text: str) -> str:
    """Text as Markdown that shows it as it is: no HTML, links, images, emphasis, or table columns of its own."""
    flat = re.sub(r"\s+", " ", text).strip()
    return re.sub(
        r"([\\`*_{}\[\]()#+\-.!|~:@/])", lambda m: f"&#{ord(m[1])};", html.escape(flat, quote=False)
    )
