"""The text that a made sound carries: a comment in its tags, found again by the words that it begins with.

The comment is in one piece and in UTF-8 in every format, so it is looked for in a file's bytes rather than in
the tags of six containers. So it also survives a conversion that keeps comments, into m4a or webm.
"""

import re

_MARK = b"[simulated speech, "
_COMMENT = re.compile(re.escape(_MARK) + rb"(\d{1,6}) bytes\] ")


def comment_for(text: str) -> bytes:
    """The comment that carries `text`, such as `[simulated speech, 5 bytes] Hello`."""
    carried = text.encode(errors="replace")
    return b"%b%d bytes] %b" % (_MARK, len(carried), carried)


def carried_text(content: bytes) -> str | None:
    """The text that a file carries; None for any other recording."""
    found = _COMMENT.search(content)
    if found is None:
        return None
    carried = content[found.end() : found.end() + int(found[1])]
    try:
        return carried.decode() if len(carried) == int(found[1]) else None
    except UnicodeDecodeError:
        return None
