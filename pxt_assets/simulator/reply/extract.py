"""The most telling sentences of a text: what a simulated model replies with.

Works on any script and on emoji, in time linear in the text, and the same on every machine.
"""

import re
from collections import Counter

CONSIDERED = 8000
"""Characters of a text that are looked at; a reply needs no more, and long prompts stay cheap."""

# A sign ends a sentence if a space follows (so 3.14 does not), the ideographic ones in any case. Possessive,
# for linear time.
_SENTENCE = re.compile(r"(?:[^\n.!?…。！？]++|[.!?…](?!\s|$))++[.!?…。！？]*+")
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of the considered part of `text`, in order, as written."""
    return _WORD.findall(text[:CONSIDERED])


def telling_sentences(text: str, most: int = 1, longest: int = 240) -> list[str]:
    """The `most` telling sentences of `text`, the best first, cut to `longest` characters; [] for no text.

    A sentence tells the more the longer its words are and the rarer they are in the text; a mild discount
    for its length keeps short ones in play.
    """
    sentences = [part for part in map(str.strip, _SENTENCE.findall(text[:CONSIDERED])) if part]
    found = [set(_WORD.findall(sentence.lower())) for sentence in sentences]
    counts = Counter(word for distinct in found for word in distinct)
    scores = [
        sum(min(len(word), 12) / counts[word] for word in distinct) / (len(distinct) + 4) ** 0.7
        for distinct in found
    ]
    order = sorted(range(len(sentences)), key=lambda index: -scores[index])
    return [_shorten(sentences[index], longest) for index in order[:most]]


def _shorten(sentence: str, longest: int) -> str:
    if len(sentence) <= longest:
        return sentence
    cut = sentence[: longest - 1]
    space = cut.rfind(" ")
    # A script without spaces, or one enormous word: cut anywhere.
    return f"{cut[:space] if space > longest // 2 else cut}…"
