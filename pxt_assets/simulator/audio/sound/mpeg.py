"""MP3 and AAC: an ID3v2.4 tag, then one silent frame again and again."""

_MP3_FRAME = bytes((0xFF, 0xF3, 0x14, 0xC0)) + bytes(20)
"""576 samples of MPEG-2 layer III, mono, 24 kHz, 8 kbit/s. Side information of zeros is silence."""

_AAC_SILENCE = bytes((0x00, 0xC8, 0x00, 0x80, 0x23, 0x80))
"""1,024 samples of AAC-LC, mono: one channel element without any bands."""

_ADTS_BYTES = 7 + len(_AAC_SILENCE)
_AAC_FRAME = (
    # Sync, MPEG-4, no CRC; LC, 24 kHz (index 6), mono; 13 bits of frame length; buffer fullness "variable".
    bytes(
        (0xFF, 0xF1, 0x58, 0x40 | _ADTS_BYTES >> 11, _ADTS_BYTES >> 3 & 0xFF, (_ADTS_BYTES & 7) << 5 | 0x1F)
    )
    + bytes((0xFC,))
    + _AAC_SILENCE
)

_UTF8 = b"\x03"


def encode_mp3(comment: bytes, artist: bytes, samples: int) -> bytes:
    """An MP3 file; `samples` is a multiple of 576."""
    return _id3(comment, artist) + _MP3_FRAME * (samples // 576)


def encode_aac(comment: bytes, artist: bytes, samples: int) -> bytes:
    """An ADTS stream, its last frame filled up."""
    return _id3(comment, artist) + _AAC_FRAME * -(-samples // 1024)


def _id3(comment: bytes, artist: bytes) -> bytes:
    frames = (
        _id3_frame(b"TPE1", _UTF8 + artist)
        + _id3_frame(b"TSSE", _UTF8 + b"pxt-simulator")
        + _id3_frame(b"COMM", _UTF8 + b"und" + b"\0" + comment)
    )
    return b"ID3\x04\x00\x00" + _synchsafe(len(frames)) + frames


def _id3_frame(name: bytes, content: bytes) -> bytes:
    return name + _synchsafe(len(content)) + b"\0\0" + content


def _synchsafe(number: int) -> bytes:
    """28 bits in four bytes of seven, none of which can look like the start of a frame."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
