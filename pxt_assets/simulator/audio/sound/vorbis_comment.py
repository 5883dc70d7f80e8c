"""Vorbis comments, the tags of FLAC and Ogg files: https://www.xiph.org/vorbis/doc/v-comment.html."""

VENDOR = b"pxt-simulator"


def write_comments(comment: bytes, artist: bytes) -> bytes:
    """The block, without the framing bit that only Vorbis itself adds."""
    fields = (b"ARTIST=" + artist, b"COMMENT=" + comment)
    return b"".join(
        (_length_prefixed(VENDOR), len(fields).to_bytes(4, "little"), *map(_length_prefixed, fields))
    )


def _length_prefixed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content
