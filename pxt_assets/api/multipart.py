"""Requests that upload files: a body as the fields and files of multipart/form-data."""

from __future__ import annotations

from typing import Any

from pxt_assets.api.request import Request
from pxt_assets.values.media import MediaArgument

File = tuple[str, tuple[str, bytes, str]]
"""Field, (file name, content, content type)."""


def form_of(request: Request) -> tuple[dict[str, Any], list[File]]:
    """The fields and the files of a request. File names come from the formats of the contents."""
    fields: dict[str, Any] = {}
    files: list[File] = []
    for name, value in request.body.items():
        if isinstance(value, MediaArgument):
            files.append((name, _file(name, value)))
        elif isinstance(value, list) and value and all(isinstance(v, MediaArgument) for v in value):
            files += [(f"{name}[]", _file(f"{name}-{i}", v)) for i, v in enumerate(value)]
        else:
            fields[name] = value
    return fields, files


def _file(stem: str, sent: MediaArgument) -> tuple[str, bytes, str]:
    return f"{stem}.{sent.media.format}", sent.media.content or b"", sent.mime_type
