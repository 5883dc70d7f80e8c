"""The text embedded in a simulated sound: a comment in its tags, found by the words that it begins with.

The comment is in one piece and in UTF-8 in every format, so it is searched in a file's bytes rather than in
the tags of six containers. So it also survives a conversion that keeps comments, into m4a or webm.
"""

import re

_MARK = b"[simulated speech, "
_COMMENT = re.compile(re.escape(_MARK) + rb"(\d{1,6}) bytes\] ")


def comment_for(text: str) -> bytes:
    """The comment that embeds `text`, such as `[simulated speech, 5 bytes] Hello`."""
    encoded = text.encode(errors="replace")
    return b"%b%d bytes] %b" % (_MARK, len(encoded), encoded)


def embedded_text(content: bytes) -> str | None:
    """The text embedded in a file; None for any other recording."""
    found = _COMMENT.search(content)
    if found is None:
        return None
    encoded = content[found.end() : found.end() + int(found[1])]
    try:
        return encoded.decode() if len(encoded) == int(found[1]) else None
    except UnicodeDecodeError:
        return None
