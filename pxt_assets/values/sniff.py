"""The format of a file, by its first bytes: its name or declared type may be wrong."""

from __future__ import annotations

IMAGE_FORMATS = frozenset({"avif", "bmp", "gif", "heic", "jpeg", "jxl", "png", "tiff", "webp"})
AUDIO_FORMATS = frozenset({"aac", "flac", "m4a", "mp3", "mp4", "mpeg", "ogg", "wav", "webm"})
MIME_TYPES = {
    "aac": "audio/aac",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "flac": "audio/flac",
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jxl": "image/jxl",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "mpeg": "audio/mpeg",
    "ogg": "audio/ogg",
    "png": "image/png",
    "tiff": "image/tiff",
    "wav": "audio/wav",
    "webm": "audio/webm",
    "webp": "image/webp",
}

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\xff\x0a": "jxl",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
    b"\x1a\x45\xdf\xa3": "webm",
    b"\0\0\x01\xba": "mpeg",
    b"\0\0\x01\xb3": "mpeg",
}
_RIFF_FAMILY = (b"RIFF", b"RF64", b"BW64")
"""The others are WAVs that may be larger than 4 GB."""
_RIFF_FORMATS = {b"WEBP": "webp", b"WAVE": "wav"}
_FTYP_BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"heix": "heic",
    b"hevc": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
    b"M4A ": "m4a",
    b"M4B ": "m4a",
}
"""The formats by brand of ISO media files; any other brand is mp4."""


def sniff_format(content: bytes) -> str | None:
    """The format of an image or a sound, as in IMAGE_FORMATS and AUDIO_FORMATS; None for anything else."""
    for start, name in _SIGNATURES.items():
        if content.startswith(start):
            return name
    if content[:4] in _RIFF_FAMILY:
        return _RIFF_FORMATS.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _FTYP_BRANDS.get(content[8:12], "mp4")
    if content[:2] == b"BM" and content[6:10] == b"\0\0\0\0":  # the reserved fields
        return "bmp"
    if content[:3] == b"ID3" and len(content) > 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
        return _mpeg_frame_format(content[10 + size :]) or "mp3"
    return _mpeg_frame_format(content)


def _mpeg_frame_format(content: bytes) -> str | None:
    """`mp3` or `aac` by the first frame: both begin with eleven set bits, and only AAC (ADTS) has zero layer bits."""
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return None
    layer, version = (content[1] >> 1) & 3, (content[1] >> 3) & 3
    if layer == 0:
        return "aac" if content[1] & 0xF0 == 0xF0 else None
    bitrate, rate = content[2] >> 4, (content[2] >> 2) & 3
    return "mp3" if version != 1 and bitrate != 15 and rate != 3 else None
