"""A cell of a preview by the kind of its value: an answer's text, a tool call, a moderation, a vector, a sound, ..."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from pxt_assets.assets.page.answers import answer_text, answers_by_question, decided_text, json_text
from pxt_assets.assets.page.figures import duration
from pxt_assets.assets.page.markdown import shortened, shortened_tail
from pxt_assets.errors import CellError
from pxt_assets.values.media import Media
from pxt_assets.values.sniff import AUDIO_FORMATS, IMAGE_FORMATS
from pxt_assets.values.wording import counted

_SHORT_VECTOR = 8
"""Numbers that are shown themselves."""
_PART_CHARACTERS = 40
"""Of one argument of a tool call, one row that was found, one field among others."""
_NEAREST_CHARACTERS = 7
"""Of the key of the nearest row, where there is little room."""
_IMAGES_A_CELL = 3
_LONGEST_PATH = 1_000
_MEASURED = {"usage", "duration", "segments", "words", "logprobs"}
_TRANSCRIPTION = {"text", "language", "languages", "task"} | _MEASURED
_ROOTED = re.compile(r"([A-Za-z]:[/\\]|~?/|\.{1,2}/)[^\s/\\][^\n]*")
_FILE = re.compile(r"[^\s/\\][^\n]*[/\\][^/\\\n]+\.[A-Za-z]\w{0,4}")
_SEPARATORS = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Part:
    """A piece of a cell: a text, bold, slanted or plain, or an image or a sound."""

    text: str = ""
    mark: str = ""
    media: Media | None = None
    short: str = ""
    """What is shown where there is little room, if that is another text."""


Cell = tuple[Part, ...]
NULL: Cell = (Part("null", "*"),)
NOT_READ: Cell = (Part("…"),)
NOTHING: Cell = ()


def error_cell(errortype: str, message: str) -> Cell:
    """A row's error, in place of its value."""
    return (Part("⚠"), Part(errortype, "**"), Part(f": {message}"))


def cell_of(value: Any) -> Cell:
    """A value as it is shown in one cell."""
    if value is None:
        return NULL
    if value is ...:
        return NOT_READ
    if isinstance(value, CellError):
        return error_cell(value.errortype, value.message)
    if isinstance(value, Media):
        return (Part(media=value),)
    if isinstance(value, Mapping):
        return _mapping_cell(value)
    if isinstance(value, list | tuple):
        return _list_cell(value)
    return (Part(plain_text(value)),)


def _mapping_cell(value: Mapping[str, Any]) -> Cell:
    if is_media_list(value.get("data")):
        return _images_cell(value["data"])
    if (decided := decided_text(value)) is not None:
        return (Part(decided),)
    if (answers := answers_by_question(value)) is not None:
        texts = [f"{name}: {decided_text(one)}" for name, one in list(answers.items())[:20]]
        return (Part(", ".join(texts)),)
    if value.get("parsed") is not None:
        return cell_of(value["parsed"])
    if _is_moderation(value):
        return _moderation_cell(value)
    if _is_decision(value):
        return (Part(_decision_text(value)),)
    answer = answer_text(value)
    if answer is not None:
        return (Part(answer),) if answer else NULL
    if _is_transcription(value):
        return (Part(value["text"]),)
    fields = [f"{name}: {_field_text(one)}" for name, one in list(value.items())[:20]]
    return (Part(", ".join(fields) if fields else "{}"),)


def fields_of(value: Any) -> Mapping[str, Any] | None:
    """The fields of a value that is shown with a column for each: structured output, a template, tools' results; else None."""
    if not isinstance(value, Mapping):
        return None
    parsed = value.get("parsed")
    if (answers := answers_by_question(value)) is not None:
        return answers
    if parsed is not None:
        return parsed if isinstance(parsed, Mapping) and not _is_decision(parsed) else None
    is_other = (
        is_media_list(value.get("data"))
        or _is_moderation(value)
        or _is_decision(value)
        or decided_text(value) is not None
        or _is_transcription(value)
        or answer_text(value) is not None
    )
    return None if is_other or not value else value


def _is_moderation(value: Mapping[str, Any]) -> bool:
    results = value.get("results")
    return (
        isinstance(results, list)
        and bool(results)
        and all(
            isinstance(one, Mapping) and isinstance(one.get("category_scores"), Mapping) for one in results
        )
    )


def _moderation_cell(value: Mapping[str, Any]) -> Cell:
    """The topmost category and its score, bold where it is flagged."""
    flagged = any(one.get("flagged") for one in value["results"])
    scores = {
        str(name): score
        for one in value["results"]
        for name, score in one["category_scores"].items()
        if _is_number(score)
    }
    if not scores:
        return (Part("flagged", "**") if flagged else Part("not flagged"),)
    top = max(scores, key=lambda name: scores[name])
    text = f"{top} {score_text(scores[top])}"
    return (Part(f"{text} flagged", "**"),) if flagged else (Part(text),)


def _is_decision(value: Mapping[str, Any]) -> bool:
    return "choice" in value and _is_number(value.get("probability"))


def _decision_text(value: Mapping[str, Any]) -> str:
    """`delivery (97 %)`"""
    return f"{_field_text(value['choice'])} ({value['probability'] * 100:.0f} %)"


def _is_transcription(value: Mapping[str, Any]) -> bool:
    """Whether these are the fields of one, and more than a template would name so."""
    return (
        isinstance(value.get("text"), str)
        and bool(value.keys() & _MEASURED)
        and value.keys() <= _TRANSCRIPTION
    )


def _list_cell(value: Sequence[Any]) -> Cell:
    if is_media_list(value):
        return _images_cell(value)
    if is_found_rows(value):
        return (Part(" · ".join(_found_text(row) for row in value)),)
    if is_vector(value):
        return (Part(vector_text(value)),)
    if not value:
        return (Part("[]"),)
    if all(one is None or isinstance(one, str | bool | int | float) for one in value):
        return (Part(", ".join("null" if one is None else plain_text(one) for one in value[:50])),)
    if len(value) == 1:
        return cell_of(value[0])
    return (Part(json_text(value)),)


def is_media_list(value: object) -> TypeGuard[list[Media | None]]:
    """Whether these are images or sounds, some of which may be missing."""
    return isinstance(value, list) and any(value) and all(isinstance(v, Media | None) for v in value)


def _images_cell(images: Sequence[Media | None]) -> Cell:
    shown = [Part("missing", "*") if m is None else Part(media=m) for m in images[:_IMAGES_A_CELL]]
    more = len(images) - _IMAGES_A_CELL
    return (*shown, Part(f"and {more} more")) if more > 0 else tuple(shown)


def is_found_rows(value: Sequence[Any]) -> bool:
    """Whether these are rows that a search found, each with its score."""
    return bool(value) and all(
        isinstance(row, Mapping) and _is_number(row.get("score")) and len(row) > 1 for row in value
    )


def _found_text(row: Mapping[str, Any]) -> str:
    """`question (0.58)`: what the row was searched for, or else its key, which comes before the score."""
    names = list(row)
    texts = [name for name in names[names.index("score") + 1 :] if row[name] is not None]
    name = texts[0] if texts else names[0] if names[0] != "score" else names[1]
    return f"{shortened(_field_text(row[name]), _PART_CHARACTERS)} ({score_text(row['score'])})"


def score_text(score: float) -> str:
    """A score to two decimals; what is not nothing is not 0.00."""
    return "under 0.01" if 0 < score < 0.005 else f"{score:.2f}"


def is_vector(value: Any) -> TypeGuard[Sequence[float]]:
    """Whether these are so many numbers that nobody reads them."""
    return (
        isinstance(value, list | tuple)
        and len(value) > _SHORT_VECTOR
        and all(isinstance(v, float) or (isinstance(v, int) and not isinstance(v, bool)) for v in value)
        and any(isinstance(v, float) for v in value)
    )


def vector_text(vector: Sequence[float]) -> str:
    """`1,536 numbers, norm 1.00`"""
    norm = math.hypot(*vector)
    return (
        f"{counted(len(vector), 'number')}, norm {norm:.2f}"
        if norm < 1e6
        else f"{len(vector):,} numbers, norm {norm:.3g}"
    )


def vector_cells(vectors: Sequence[Any], names: Sequence[str]) -> list[Cell]:
    """Cells of vectors, each with the name of the row among these that is nearest to it, by the cosine."""
    import numpy as np

    found = {i: np.asarray(v, np.float64) for i, v in enumerate(vectors) if is_vector(v)}
    units = {i: v / norm for i, v in found.items() if 0 < (norm := float(np.linalg.norm(v))) < math.inf}
    cells: list[Cell] = []
    for i, vector in enumerate(vectors):
        near = [
            (float(units[i] @ other), j)
            for j, other in units.items()
            if i in units and j != i and len(other) == len(units[i])
        ]
        if i not in found or not near:
            cells.append(cell_of(vector))
            continue
        score, nearest = max(near, key=lambda one: (one[0], -one[1]))
        cells.append(
            (
                Part(
                    f"{vector_text(vector)}, nearest of these {len(vectors)}: {names[nearest]} ({score_text(score)})",
                    short=_short_vector_text(vector, names[nearest], score),
                ),
            )
        )
    return cells


def _short_vector_text(vector: Sequence[float], nearest: str, score: float) -> str:
    """`1,536 numbers, nearest T-2 (0.60), norm 1.00`: the norm at the end, which is cut first."""
    length, norm = vector_text(vector).split(", norm ")
    return (
        f"{length}, nearest {shortened_tail(nearest, _NEAREST_CHARACTERS)} ({score_text(score)}), norm {norm}"
    )


def media_text(media: Media, *, short: bool = False) -> str:
    """What an image or a sound is, where it is not drawn: `wav, 3.2 s, 12.0 KB`, in short `3.2 s of wav`."""
    if media.content is None:
        return "image at a URL"
    if short and media.format in AUDIO_FORMATS and media.seconds is not None:
        return f"{duration(media.seconds)} of {media.format}"
    parts = [media.format or "media", f"{media.size / 1024:,.1f} KB"]
    if media.format in AUDIO_FORMATS and media.seconds is not None:
        parts.insert(1, duration(media.seconds))
    if media.path is not None and media.format not in IMAGE_FORMATS and _SEPARATORS.search(media.path):
        parts.append(path_tail(media.path))
    return ", ".join(parts)


def plain_text(value: Any) -> str:
    """A plain value as text, numbers without the digits that binary fractions add."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))
    if isinstance(value, bytes | bytearray | memoryview):
        return counted(len(value), "byte")
    return str(value)


def is_path(text: str) -> bool:
    """Whether a text is the path or the URL of a file, not a sentence, a date or an alternative with slashes in it."""
    if len(text) > _LONGEST_PATH or "  " in text or ". " in text:
        return False
    plain = without_query(text)
    return (" " not in plain and _ROOTED.fullmatch(plain) is not None) or _FILE.fullmatch(plain) is not None


def without_query(path: str) -> str:
    """A path; a URL without what may be a signature."""
    return re.split(r"[?#]", path, maxsplit=1)[0] if "://" in path else path


def path_tail(path: str) -> str:
    """A path's last part: `…/T-1001-jacket.jpg`; of a URL without what may be a signature."""
    plain = without_query(path)
    parts = _SEPARATORS.split(plain.rstrip("/\\"))
    return f"…/{parts[-1]}" if len(parts) > 1 else plain


def _field_text(value: Any) -> str:
    """A value among others in one cell."""
    if value is None:
        return "null"
    if isinstance(value, Media):
        return media_text(value)
    if is_vector(value):
        return vector_text(value)
    return plain_text(value) if not isinstance(value, Mapping | list | tuple) else json_text(value)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
