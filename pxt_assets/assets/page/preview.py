"""A few rows as a Markdown table, images as thumbnails. What a cell holds is untrusted: all markup in it is escaped."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from pxt_assets.values.conversion import to_python
from pxt_assets.values.media import Media, open_image
from pxt_assets.values.sniff import AUDIO_FORMATS, IMAGE_FORMATS
from pxt_assets.values.text_parts import text_of_parts

if TYPE_CHECKING:
    import pyarrow as pa

_JOINER = "\u2060"
_ERROR_SUFFIXES = ("_errortype", "_errormsg")
_CELL_CHARACTERS = 160
_THUMBNAIL_PIXELS = 96
_THUMBNAILS_A_CELL = 3
_DECODED_PIXELS = 50_000_000
"""The most pixels that are decoded: an image of a few KB may claim to have billions."""
_THUMBNAIL_BYTES = 40_000
"""The size of all thumbnails of a preview, which is stored in Dagster's event log."""


def preview(rows: pa.Table) -> str:
    """A Markdown table of some rows of a computed column; an error is shown in place of the value."""
    error_columns = {f"{name}{end}" for name in rows.column_names for end in _ERROR_SUFFIXES}
    shown = [name for name in rows.column_names if name not in error_columns and name != "_digest"]
    lines = ["| " + " | ".join(map(escape_markdown, shown)) + " |", "|" + " --- |" * len(shown)]
    columns = [zip(to_python(rows[name]), _error_texts(rows, name), strict=True) for name in shown]
    thumbnails = _Thumbnails()
    for row in zip(*columns, strict=True):
        cells = [error or _cell_text(value, thumbnails) for value, error in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _error_texts(rows: pa.Table, name: str) -> list[str | None]:
    """The error of each row as Markdown; None where there is none."""
    columns = [f"{name}{end}" for end in _ERROR_SUFFIXES]
    if not set(columns) <= set(rows.column_names):
        return [None] * rows.num_rows
    types, messages = (rows[column].to_pylist() for column in columns)
    return [
        None if kind is None else f"⚠ **{escape_markdown(kind)}**: {_short_text(message or '')}"
        for kind, message in zip(types, messages, strict=True)
    ]


def _cell_text(value: object, thumbnails: _Thumbnails) -> str:
    if value is None:
        return "*null*"
    if isinstance(value, Media):
        return thumbnails.markdown(value)
    images = value.get("data") if isinstance(value, Mapping) else value
    if _is_media_list(images):
        more = f" and {len(images) - _THUMBNAILS_A_CELL} more" if len(images) > _THUMBNAILS_A_CELL else ""
        shown = ["*missing*" if m is None else thumbnails.markdown(m) for m in images[:_THUMBNAILS_A_CELL]]
        return " ".join(shown) + more
    if isinstance(value, list) and len(value) > 8 and all(isinstance(v, float) for v in value):
        head = ", ".join(f"{v:.3f}" for v in value[:4])
        return escape_markdown(f"[{head}, … {len(value)} numbers]")
    text = value if isinstance(value, str) else _json_text(value)
    return _short_text(text)


def _short_text(text: str) -> str:
    return escape_markdown(text if len(text) <= _CELL_CHARACTERS else text[:_CELL_CHARACTERS] + "…")


def _is_media_list(value: object) -> TypeGuard[list[Media | None]]:
    return isinstance(value, list) and any(value) and all(isinstance(v, Media | None) for v in value)


def _json_text(value: object) -> str:
    """A JSON value as text; of a model's answer the text of the answer."""
    if isinstance(value, Mapping):
        if value.get("parsed") is not None:
            return str(value["parsed"])
        if isinstance(value.get("output_text"), str) and value["output_text"]:
            return str(value["output_text"])
        choices = value.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            message = choices[0].get("message") or {}
            text = text_of_parts(message.get("content"))
            return str(text if text is not None else message)
    return str(value)


class _Thumbnails:
    """Small copies of images, as many as a preview may hold."""

    def __init__(self) -> None:
        self._bytes_left = _THUMBNAIL_BYTES

    def markdown(self, media: Media) -> str:
        """A thumbnail of an image as Markdown; of a sound, or an image that cannot be opened, a description."""
        if media.format in IMAGE_FORMATS and media.content is not None and self._bytes_left > 0:
            try:
                small = _thumbnail(media.content)
            except Exception:  # Pillow's plugins raise errors of many types for broken images
                return escape_markdown(_media_text(media))
            self._bytes_left -= len(small)
            return f"![{media.format}](data:image/jpeg;base64,{base64.b64encode(small).decode()})"
        return escape_markdown(_media_text(media))


def _media_text(media: Media) -> str:
    if media.content is None:
        return "image at a URL"
    parts = [media.format or "media", f"{media.size / 1024:,.1f} KB"]
    if media.format in AUDIO_FORMATS and media.seconds is not None:
        parts.insert(1, _duration_text(media.seconds))
    if media.path is not None and media.format not in IMAGE_FORMATS:
        path = media.path.partition("?")[0]  # what follows may be a signature
        parts.append(path if len(path) <= _CELL_CHARACTERS else "…" + path[-_CELL_CHARACTERS:])
    return ", ".join(parts)


def _duration_text(seconds: float) -> str:
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def _thumbnail(content: bytes) -> bytes:
    """A JPEG of at most _THUMBNAIL_PIXELS a side, transparent parts white. Raises whatever Pillow does."""
    import PIL.Image

    image: Any = open_image(content)
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


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: without HTML, links, images, emphasis or table columns of its own.

    Markdown links addresses after it has decoded entities: a zero-width joiner breaks them up.
    """
    flat = re.sub(r"\s+", " ", text).strip()
    flat = re.sub(r"://|www(?=\.)|(?=@)", rf"\g<0>{_JOINER}", flat, flags=re.IGNORECASE)
    return re.sub(
        r"([\\`*_{}\[\]()#+\-.!|~:@/])", lambda m: f"&#{ord(m[1])};", html.escape(flat, quote=False)
    )
