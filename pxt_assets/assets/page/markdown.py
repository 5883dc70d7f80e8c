"""Text of rows as Markdown: escaped, shortened, and measured as the UI measures it."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

INLINE_CHARACTERS = 999
"""The UI draws Markdown of less than 1,000 characters (UTF-16 code units) in place, and hides longer behind a click."""
NO_BREAK = "\u00a0"
_JOINER = "\u2060"
_BREAK = "\u200b"
_SIGNS = "_-/.,:;=(?&@+"
_ID = re.compile(r"(?=[\w-]*\d)\w+(?:-\w+)+")
"""A date, or an id with a hyphen in it."""
_KEPT = "\u200c\u200d\u200e\u200f"
"""Format characters that words of some languages, and emoji, are made of."""


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: without HTML, links, images, emphasis or table columns of its own.

    Markdown links addresses after it has decoded entities: a zero-width joiner breaks them up. Characters that show
    nothing, or turn what is beside them around, are left out.
    """
    flat = re.sub(r"://|www(?=\.)|(?=@)", rf"\g<0>{_JOINER}", one_line(text), flags=re.IGNORECASE)
    flat = re.sub(r"(?<=\d) (?=%)", NO_BREAK, flat)
    return re.sub(
        r"([\\`*_{}\[\]()#+\-.!|~:@/])", lambda m: f"&#{ord(m[1])};", html.escape(flat, quote=False)
    )


def inline_length(markdown: str) -> int:
    """The length of a Markdown text as the UI counts it."""
    return len(markdown.encode("utf-16-le", "surrogatepass")) // 2


def fits_inline(markdown: str) -> bool:
    """Whether the UI shows it at once."""
    return inline_length(markdown) <= INLINE_CHARACTERS


def behind_a_click(markdown: str) -> str:
    """The text so long that the UI does not show it at once: blanks at its end show nothing."""
    return markdown + " " * (INLINE_CHARACTERS + 1 - inline_length(markdown))


@lru_cache(maxsize=256)
def one_line(text: str) -> str:
    """The text without line breaks, and without characters that show nothing."""
    flat = re.sub(r"\s+", " ", text).strip()
    if flat.isprintable():  # nearly every text, and a hundred times as fast
        return flat
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


def shortened_by_words(text: str, most: int, longest: int) -> str:
    """The beginning of a text, cut between words where that costs less than half of it.

    Nor does it end with a word of more than `longest` characters, which would be broken.
    """
    cut = shortened(text, most)
    if len(cut) <= most and not cut.endswith("…"):
        return cut
    words, flat = cut.removesuffix("…"), one_line(text[: 8 * most + 64])
    is_whole = flat[len(words) : len(words) + 1] in ("", " ")
    while " " in words and not (is_whole and len(words.rpartition(" ")[2]) <= longest):
        words, is_whole = words.rpartition(" ")[0], True
    kept = words.rstrip(" ,;:.–—-")
    return f"{kept}…" if is_whole and 2 * len(kept) >= most else cut


def shortened_tail(text: str, most: int) -> str:
    """The end of a text, at most `most` characters, after an ellipsis if anything is left out."""
    flat = one_line(text)
    return flat if len(flat) <= most else "…" + flat[1 - most :] if most > 1 else "…"


def joined(text: str) -> str:
    """An id as Markdown that does not wrap at its hyphens, nor after the ellipsis that it may begin with."""
    marked = escape_markdown(one_line(text)).replace("&#45;", f"&#45;{_JOINER}")
    return f"…{_JOINER}{marked[1:]}" if marked.startswith("…") else marked


@dataclass(frozen=True)
class Breaks:
    """Where a text of a narrow column may be broken: within words that are longer than `word`, and ids longer than `id`."""

    word: int
    id: int

    def markdown(self, text: str) -> str:
        """The text as Markdown."""
        words = (self._pieces(word) for word in one_line(text).split(" "))
        whole = " ".join(_BREAK.join(map(joined, pieces)) for pieces in words)
        return re.sub(r"(?<=\d) (?=%)", NO_BREAK, whole)

    def longest(self, text: str) -> int:
        """Characters of the longest part of the text that stays in one line."""
        return max(
            (len(piece) for word in one_line(text).split(" ") for piece in self._pieces(word)), default=0
        )

    def _pieces(self, word: str) -> list[str]:
        """The parts of a word between which it may be broken, after a sign if there is one."""
        if len(word) <= self.word or (len(word) <= self.id and _ID.search(word) is not None):
            return [word]
        pieces = []
        while len(word) > self.word:
            end = max((word.rfind(sign, 2, self.word) for sign in _SIGNS), default=-1) + 1 or self.word
            pieces.append(word[:end])
            word = word[end:]
        return [*pieces, word]


BREAKS = (Breaks(12, 12), Breaks(10, 12), Breaks(8, 12), Breaks(8, 8))
"""From where there is room to where there is little."""
