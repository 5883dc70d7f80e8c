"""Images and sounds: how they are read, identified, encoded and sent."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import unquote

from pxt_assets.errors import CellError
from pxt_assets.values import base64_text
from pxt_assets.values.digest import digest
from pxt_assets.values.duration import duration_seconds
from pxt_assets.values.frames import frame_count, may_have_frames, several_frames_error
from pxt_assets.values.image_plugins import missing_package, register_plugin
from pxt_assets.values.sniff import AUDIO_FORMATS, IMAGE_FORMATS, MIME_TYPES, sniff_format
from pxt_assets.values.types import Audio, ColumnType, Image

if TYPE_CHECKING:
    import PIL.Image

MAX_READ_BYTES = 512 * 2**20
"""A larger file is never read."""
MAX_AUDIO_BYTES = 25 * 2**20
"""A recording that is uploaded. Source: https://platform.openai.com/docs/guides/speech-to-text"""
MAX_IMAGE_BYTES = 50 * 2**20
"""An image that is sent or uploaded. Source: https://platform.openai.com/docs/api-reference/images/createEdit; in a
message it is what a whole request could hold until April 2026, and what single images are still refused beyond."""
_LOCAL_PROTOCOLS = ("", "file", "local")
_STORAGE_PROTOCOLS = ("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl")
"""Protocols that a path may have: only storages, as any other would let a table send requests from this machine."""
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclass(frozen=True)
class Media:
    """An image or a sound: its bytes, or for an image its URL, which the API fetches itself.

    `path` is where it came from or would be saved to; it is not read any more.
    """

    content: bytes | None = field(repr=False)
    path: str | None = None
    url: str | None = None

    @cached_property
    def format(self) -> str | None:
        """The format of the bytes: `jpeg`, `png`, `mp3`, ...; None for an unknown one."""
        return None if self.content is None else sniff_format(self.content)

    @cached_property
    def digest(self) -> str:
        """The digest of the content, or of the URL, in hex."""
        return (
            digest(b"url", (self.url or "").encode()).hex()
            if self.content is None
            else digest(self.content).hex()
        )

    @cached_property
    def seconds(self) -> float | None:
        """The length of a sound in seconds; None where it cannot be told."""
        return None if self.content is None else duration_seconds(self.content, self.format)

    @cached_property
    def png(self) -> Media:
        """The image as PNG, encoded once: a constant is in all rows. Raises CellError for one that cannot be decoded."""
        return Media(encode_image(open_image(self.content or b""), "PNG"), self.path)

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self.content or b"")


@dataclass(frozen=True)
class MediaArgument:
    """An image or a sound as an argument of the API: in a JSON body a data URL, in a form a file."""

    media: Media

    @property
    def data_url(self) -> str:
        """The content as a data URL; a URL as it is."""
        if self.media.content is None:
            return str(self.media.url)
        return f"data:{self.mime_type};base64,{base64_text.encode(self.media.content).decode()}"

    @property
    def mime_type(self) -> str:
        """The MIME type of the content."""
        return MIME_TYPES[str(self.media.format)]

    @property
    def digest(self) -> str:
        """The digest of the content, in hex."""
        return self.media.digest

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return self.media.size


def is_image(value: object) -> TypeGuard[PIL.Image.Image]:
    """Whether a value is a PIL image. Does not import Pillow: without it there can be none."""
    return type(value).__module__.partition(".")[0] == "PIL" or any(
        c.__module__ == "PIL.Image" for c in type(value).__mro__[:-1]
    )


@dataclass(frozen=True)
class ReadOptions:
    """How the files named in columns are read."""

    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The options of their file systems."""
    for_api: bool = False
    """Whether they are read for the API alone, whose size limits then apply."""

    def check(self, path: str, size: int, column_type: type[ColumnType]) -> None:
        """Raises CellError for a file that is too large to be read."""
        is_audio = issubclass(column_type, Audio)
        most = (MAX_AUDIO_BYTES if is_audio else MAX_IMAGE_BYTES) if self.for_api else MAX_READ_BYTES
        if size > most:
            kind = "Audio" if is_audio else "Image"
            msg = f"{_quote_path(path)} has {size:,} bytes, allowed: {most:,}; make it smaller upstream"
            raise CellError(f"{kind}TooLarge", msg)


_DEFAULT_OPTIONS = ReadOptions()


def media_of(
    value: object, column_type: type[ColumnType] | None, options: ReadOptions = _DEFAULT_OPTIONS
) -> Media:
    """The image or sound that a value of an Image or Audio column stands for.

    Takes bytes, a PIL image, a path or URL as text, a data URL, or `{"bytes", "path"}`. A path is read, and must be
    of `column_type`; None means that the column was not declared and nothing is read. Raises CellError, which never
    quotes what a file holds.
    """
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return Media(bytes(value))
    if isinstance(value, Mapping):
        content, path = value.get("bytes"), value.get("path")
        if isinstance(content, bytes | bytearray | memoryview):
            return Media(bytes(content), path if isinstance(path, str) else None)
        value = path if content is None and path is not None else value
    if is_image(value):
        return Media(encode_image(value))
    if isinstance(value, PurePath):
        if column_type is not None and (file := Path(value)).is_file():
            status = file.stat()
            return _read_constant(
                str(value), issubclass(column_type, Audio), status.st_mtime_ns, status.st_size
            )
        value = str(value)
    if not isinstance(value, str):
        msg = f"got {type(value).__name__}, allowed: bytes, a path, a URL, or a PIL image"
        raise CellError("TypeError", msg)
    if value.startswith("data:"):
        return Media(_decode_data_url(value))
    if _protocol(value) in ("http", "https"):
        return Media(None, url=value)
    if column_type is None:
        msg = "got a path in a column that was not declared; declare it in schema= as Image or Audio to have it read"
        raise CellError("UndeclaredPath", msg)
    return _read_media(value, column_type, options)


@lru_cache(maxsize=16)
def _read_constant(path: str, is_audio: bool, _mtime_ns: int, _size: int) -> Media:
    """A file named in code, which all rows share: read once until it changes."""
    return _read_media(path, Audio if is_audio else Image, ReadOptions(for_api=True))


def _protocol(text: str) -> str:
    """`s3` of `s3://...`, "" of a local path. Not parsed by urllib, which raises ValueError for some texts of tables."""
    found = _PROTOCOL.match(text)
    return found[1].lower() if found else ""


def _decode_data_url(url: str) -> bytes:
    header, _, data = url.partition(",")
    if not header.endswith(";base64"):
        msg = "got a data URL that is not base64, allowed: data:image/...;base64,..."
        raise CellError("ValueError", msg)
    try:
        return base64_text.decode(data)
    except ValueError as e:
        msg = f"got a data URL whose base64 cannot be decoded ({e})"
        raise CellError("ValueError", msg) from e


def _read_media(path: str, column_type: type[ColumnType], options: ReadOptions) -> Media:
    content = _read_bytes(path, column_type, options)
    wanted = AUDIO_FORMATS if issubclass(column_type, Audio) else IMAGE_FORMATS
    media = Media(content, path)
    if media.format not in wanted:
        kind = "audio" if issubclass(column_type, Audio) else "image"
        msg = f"{_quote_path(path)} holds no {kind} of a known format ({', '.join(sorted(wanted))})"
        raise CellError("NotMedia", msg)
    return media


def _read_bytes(path: str, column_type: type[ColumnType], options: ReadOptions) -> bytes:
    protocol = _protocol(path)
    if protocol not in (*_LOCAL_PROTOCOLS, *_STORAGE_PROTOCOLS) or (
        protocol not in _LOCAL_PROTOCOLS and "::" in path
    ):
        msg = f"{_quote_path(path)} is no path of a storage; allowed: a local path, or a URL with {', '.join(_STORAGE_PROTOCOLS)}"
        raise CellError("ValueError", msg)
    try:
        if protocol in _LOCAL_PROTOCOLS:
            local = _local_file(path, protocol)
            if not local.is_file():  # a device or a pipe would never end
                msg = f"{_quote_path(path)} is no file"
                raise CellError("FileNotFoundError", msg)
            options.check(path, local.stat().st_size, column_type)
            return local.read_bytes()
        from fsspec.core import url_to_fs

        fs, inner = url_to_fs(path, **options.storage_options)
        options.check(path, fs.size(inner) or 0, column_type)
        content: bytes = fs.cat_file(inner)
        return content
    except CellError:
        raise
    except Exception as e:  # every storage has errors of its own, which may quote credentials
        msg = f"{_quote_path(path)} cannot be read"
        raise CellError(type(e).__name__, msg) from None


def _local_file(path: str, protocol: str) -> Path:
    """The file of a path, or of a URL as fsspec writes it (unquoted) or as the standard has it (quoted)."""
    if not protocol:
        return Path(path)
    name = path[len(protocol) + len("://") :]
    return Path(name) if "%" not in name or Path(name).is_file() else Path(unquote(name))


def _quote_path(path: str) -> str:
    """A path as a message quotes it, cut: a table may have megabytes in its place."""
    return repr(path if len(path) <= 200 else f"{path[:200]}…")


def encode_image(image: PIL.Image.Image, format: str | None = None, mode: str | None = None) -> bytes:
    """A PIL image as the bytes of a file, in `format`; by default in the format it was opened from, or as PNG.

    The EXIF orientation is kept, or applied where the format changes. `mode` is Pillow's, None for that of the image.
    Of a file with several frames all are kept, unless somebody has gone to one of them. Raises CellError for an image
    that cannot be decoded or encoded, and for several frames where the format changes.
    """
    own = "JPEG" if image.format == "MPO" else image.format  # a JPEG with a preview, as telephones make it
    target_format = (format or own or "PNG").upper()
    if target_format not in _PILLOW_FORMATS:
        target_format = "PNG"
    frames = frame_count(image)
    if frames > 1 and (own != target_format or mode is not None):
        raise several_frames_error(image, frames, "")
    file = io.BytesIO()
    try:
        if own is not None and own != target_format:
            from PIL.ImageOps import exif_transpose

            image = exif_transpose(image)
        if mode is not None:
            image = image.convert(mode)
        if target_format == "PNG":
            image = _in_png_mode(image)
        options = _save_options(image, target_format)
        image.save(file, target_format, save_all=frames > 1, **options)
        if frames > 1:
            image.seek(0)  # Pillow leaves it at the last, which would pass for the one that is meant
    except Exception as e:  # Pillow's plugins raise what they like for a broken image
        msg = f"the image cannot be encoded as {target_format} ({type(e).__name__})"
        raise CellError("ImageError", msg) from e
    return file.getvalue()


def _save_options(image: PIL.Image.Image, format: str) -> dict[str, Any]:
    """Pillow's options to save an image with as little change as possible."""
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    options: dict[str, Any] = {}
    if format == "WEBP":
        options["lossless"] = True
    if format == "JPEG":
        tables = getattr(image, "quantization", None)  # lost by pickling
        is_file = isinstance(image, JpegImageFile) and tables
        options |= {"qtables": tables, "subsampling": get_sampling(image)} if is_file else {"quality": 95}
    if format in ("JPEG", "PNG", "WEBP") and image.format is not None:
        with suppress(Exception):  # broken EXIF is left out
            if exif := image.getexif():
                options["exif"] = exif.tobytes()
    if format == "JPEG" and image.info.get("icc_profile"):
        options["icc_profile"] = image.info["icc_profile"]
    return options


_PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
_PNG_MODE_OF = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}


def _in_png_mode(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode in _PNG_MODES:
        return image
    if image.mode.startswith("I"):  # integers of 16 or 32 bits
        return image.convert("I").convert("I;16")
    return image.convert(_PNG_MODE_OF.get(image.mode, "RGB"))


def open_image(content: bytes) -> PIL.Image.Image:
    """The bytes as a PIL image, decoded when its pixels are needed. Raises CellError for other bytes."""
    import PIL.Image

    format = sniff_format(content)
    for attempt in (1, 2):
        try:
            return PIL.Image.open(io.BytesIO(content))
        except Exception as e:  # as above; a decompression bomb is among them
            if attempt == 1 and isinstance(e, PIL.UnidentifiedImageError) and register_plugin(format):
                continue
            msg = f"the bytes are no image that can be opened ({type(e).__name__})"
            if package := missing_package(format):
                msg += f": it is {str(format).upper()}, which needs the package {package}; install it, or convert the image upstream"
            raise CellError("ImageError", msg) from e
    raise AssertionError


def require_single_image(media: Media, advice: str = "") -> None:
    """Raises CellError for a file of several pages or frames, which names their number; `advice` is what else to do."""
    if media.content is not None and may_have_frames(media.content, media.format):
        image = open_image(media.content)
        if (count := frame_count(image)) > 1:
            raise several_frames_error(image, count, advice)
