"""Vectors of hashed words: texts that share words, or parts of words, are near each other.

Each word is one feature and each of its letter trigrams another, lighter one; a feature adds its weight,
with a sign, at a column that its hash gives. The hashes are CRC-32, the same in every process.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

# Long words (base64, scripts without spaces) are split, so that the cache of features stays small.
_TOKEN = re.compile(r"\w{1,32}|[^\w\s]")
_FEATURE = np.dtype([("hash", "<u4"), ("weight", "<f4")])
_SHORT_WORD = 0.3
"""Weight of words up to three letters and of signs, which say little about a text."""
_TRIGRAM = 0.25
_BLOCK = 256
"""Texts whose vectors are summed at once: the sums of a block of 1,536 dimensions fit the CPU's cache."""


def word_tokens(text: str) -> list[str]:
    """The words and signs of a text in lower case; the text itself where it has none."""
    return _TOKEN.findall(text.lower()) or [text]


def hashed_vectors(texts: Sequence[Sequence[str]], dimensions: int) -> npt.NDArray[np.float32]:
    """One vector of length 1 per text, float32[len(texts), dimensions], from the words of each.

    A text whose features cancel out, or one without words, gets a fixed unit vector.
    """
    vectors = np.empty((len(texts), dimensions), dtype=np.float32)
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        vectors[start : start + len(block)] = _sum_features(block, dimensions)
    return vectors


def _sum_features(texts: Sequence[Sequence[str]], dimensions: int) -> npt.NDArray[np.float64]:
    packed = [b"".join(map(_features, text)) for text in texts]
    features = np.frombuffer(b"".join(packed), dtype=_FEATURE)
    rows = np.repeat(np.arange(len(texts)), [len(part) // _FEATURE.itemsize for part in packed])
    # CRCs of similar words are similar: a multiplication spreads them before the modulo.
    mixed = features["hash"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    columns = ((mixed >> np.uint64(32)) % np.uint64(dimensions)).astype(np.int64)
    signed = np.where(mixed & np.uint64(1 << 31), features["weight"], -features["weight"])
    sums = np.bincount(rows * dimensions + columns, signed, len(texts) * dimensions).reshape(len(texts), -1)
    lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    sums[lengths < 1e-6] = np.eye(1, dimensions)
    lengths[lengths < 1e-6] = 1.0
    return np.asarray(sums / lengths[:, None])


@lru_cache(maxsize=65536)
def _features(word: str) -> bytes:
    """The features of a word, as bytes: joining bytes keeps a batch of 2,048 texts cheap."""
    letters = f"<{word}>"
    hashes = [crc32(letters.encode(errors="replace"))]
    hashes += [crc32(b"3" + letters[i : i + 3].encode(errors="replace")) for i in range(len(letters) - 2)]
    weights = np.full(len(hashes), _TRIGRAM if len(word) > 3 else _TRIGRAM * _SHORT_WORD)
    weights[0] = 1.0 if len(word) > 3 else _SHORT_WORD
    packed = np.empty(len(hashes), dtype=_FEATURE)
    packed["hash"], packed["weight"] = hashes, weights
    return packed.tobytes()
