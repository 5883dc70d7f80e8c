"""Text of rows as Markdown: escaped, shortened, and measured as the UI measures it."""

from __future__ import annotations

import html
import re
import unicodedata

INLINE_CHARACTERS = 999
"""The UI draws Markdown of less than 1,000 characters (UTF-16 code units) in place, and hides longer behind a click."""
LONGEST_WORD = 8
"""Characters after which a long word may be broken: the narrowest page (1280 pixels) leaves a table 28 of them."""
_JOINER = "\u2060"
_BREAK = "\u200b"
_JOINED = re.compile(r"(?=[\w-]*\d)\w+(?:-\w+)+")
"""A date, or an id with a hyphen in it."""
_LONGEST_JOINED = 12
_KEPT = "\u200c\u200d\u200e\u200f"
"""Format characters that words of some languages, and emoji, are made of."""


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: without HTML, links, images, emphasis or table columns of its own.

    Markdown links addresses after it has decoded entities: a zero-width joiner breaks them up. Characters that show
    nothing, or turn what is beside them around, are left out.
    """
    flat = re.sub(r"://|www(?=\.)|(?=@)", rf"\g<0>{_JOINER}", one_line(text), flags=re.IGNORECASE)
    return re.sub(
        r"([\\`*_{}\[\]()#+\-.!|~:@/])", lambda m: f"&#{ord(m[1])};", html.escape(flat, quote=False)
    )


def inline_length(markdown: str) -> int:
    """The length of a Markdown text as the UI counts it."""
    return len(markdown.encode("utf-16-le", "surrogatepass")) // 2


def fits_inline(markdown: str) -> bool:
    """Whether the UI shows it at once."""
    return inline_length(markdown) <= INLINE_CHARACTERS


def one_line(text: str) -> str:
    """The text without line breaks, and without characters that show nothing."""
    flat = re.sub(r"\s+", " ", text).strip()
    return "".join(c for c in flat if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def shortened(text: str, most: int) -> str:
    """The beginning of a text, at most `most` characters and an ellipsis; of a long one no more is looked at."""
    flat = one_line(text[: 8 * most + 64])
    if len(flat) <= most:
        return flat
    end = most
    while end > 1 and unicodedata.combining(flat[end]):  # no half a character
        end -= 1
    return flat[:end].rstrip() + "…"


def shortened_tail(text: str, most: int) -> str:
    """The end of a text, at most `most` characters, after an ellipsis if anything is left out."""
    flat = one_line(text)
    return flat if len(flat) <= most else "…" + flat[1 - most :] if most > 1 else "…"


def joined(text: str) -> str:
    """An id as Markdown that does not wrap at its hyphens."""
    return escape_markdown(one_line(text)).replace("&#45;", f"&#45;{_JOINER}")


def wrapped(text: str) -> str:
    """A text as Markdown that wraps in a narrow column: not within dates and ids, and within words that are too long."""
    return " ".join(_wrapped_word(word) for word in one_line(text).split(" "))


def longest_run(text: str) -> int:
    """Characters of the longest part of such a text that stays in one line."""
    runs = (
        len(word) if _is_joined(word) else min(len(word), LONGEST_WORD) for word in one_line(text).split(" ")
    )
    return max(runs, default=0)


def _is_joined(word: str) -> bool:
    return len(word) <= _LONGEST_JOINED and _JOINED.search(word) is not None


def _wrapped_word(word: str) -> str:
    if _is_joined(word):
        return joined(word)
    if len(word) <= LONGEST_WORD:
        return escape_markdown(word)
    pieces = (word[i : i + LONGEST_WORD] for i in range(0, len(word), LONGEST_WORD))
    return _BREAK.join(escape_markdown(piece) for piece in pieces)
