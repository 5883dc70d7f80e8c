"""The most informative sentences of a text: what a simulated model replies with.

Works on any script and on emoji, in time linear in the text, and the same on every machine.
"""

import re
from collections import Counter

CONSIDERED_CHARACTERS = 8000
"""How many characters of a text are read; a reply needs no more, and long prompts stay cheap."""

# A sign ends a sentence if a space follows (so 3.14 does not), the ideographic ones in any case. Possessive,
# for linear time.
_SENTENCE = re.compile(r"(?:[^\n.!?…。！？]++|[.!?…](?!\s|$))++[.!?…。！？]*+")
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of the considered part of `text`, in order, as written."""
    return _WORD.findall(text[:CONSIDERED_CHARACTERS])


def key_sentences(text: str, most: int = 1, longest: int = 240) -> list[str]:
    """The `most` informative sentences of `text`, the best first, cut to `longest` characters; [] for no text.

    A sentence scores by the length of its words and by their rarity in the text; a mild discount for its own
    length gives short ones a chance.
    """
    sentences = [part for part in map(str.strip, _SENTENCE.findall(text[:CONSIDERED_CHARACTERS])) if part]
    word_sets = [set(_WORD.findall(sentence.lower())) for sentence in sentences]
    counts = Counter(word for word_set in word_sets for word in word_set)
    scores = [
        sum(min(len(word), 12) / counts[word] for word in word_set) / (len(word_set) + 4) ** 0.7
        for word_set in word_sets
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
