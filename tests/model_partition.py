"""The model of a partition: what is upstream, what must be on the disk, and what a run must make of both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

OnError = Literal["abort", "ignore"]


class Question(NamedTuple):
    """What one cell asks, as the API understands it."""

    function: str
    model: str
    prompt: str
    text: str


class Result(NamedTuple):
    """What the API said last to a question."""

    generation: int | None
    """Of the answer; None where there is none."""
    request_id: str
    errortype: str | None = None


class Cell(NamedTuple):
    """A finished cell."""

    question: Question
    result: Result


class Expression(NamedTuple):
    """What the column computes."""

    function: str
    model: str
    prompt: str = ""

    def row(self, row_id: int, text: str | None) -> "Row":
        """What it makes of a row: no text is no question, and no text to embed is no empty one."""
        refused = self.function == "embeddings" and text == ""
        asks = text is not None and not refused
        return Row(row_id, text, Question(*self, str(text)) if asks else None, refused)


@dataclass(frozen=True)
class Row:
    """A row, and the result of its question where that is known."""

    id: int
    text: str | None
    question: Question | None
    refused: bool
    """Whether the function does not take its text, so that nothing is asked."""
    result: Result | None = None

    @property
    def errortype(self) -> str | None:
        return "ValueError" if self.refused else self.result and self.result.errortype

    @property
    def stored(self) -> tuple[int, Question | None, int | None, str | None]:
        """What the file tells of it: key, question, generation of its answer, type of its error."""
        return self.id, self.question, self.result and self.result.generation, self.errortype

    @property
    def content(self) -> tuple[object, ...]:
        """What a reader of the file sees of it: key, value, type of its error."""
        return self.id, self.errortype, None if self.errortype else self.stored


@dataclass(frozen=True)
class How:
    """How one run is to be made."""

    on_error: OnError = "ignore"
    refresh: bool = False
    retry_errors: bool = True
    limit: int | None = None

    @property
    def keeps_errors(self) -> bool:
        """Whether what failed is finished; never where a failed row ends the run."""
        return not self.retry_errors and self.on_error == "ignore"


@dataclass
class Partition:
    """What is upstream, and what must be on the disk."""

    upstream: list[tuple[int, str | None]] = field(default_factory=list)
    """Key and text of each row."""
    stored: list[Row] | None = None
    """The column's file."""
    journal: list[tuple[Cell, bool]] = field(default_factory=list)
    """In order; the flag says whether it was finished since the refresh that is not complete began."""
    refreshing: bool = False
    """Whether there is such a refresh."""
    more_in_sidecar: bool = False
    """Whether a kill left a sidecar that tells of cells beyond those of the column's file."""
    later_refusals: bool = False
    """Whether a kill may have left one that tells of a later refusal than the one that is stored; it does so for good."""

    def begin(self, how: How) -> set[Question]:
        """The journal as a run begins; gives the questions that it finds finished."""
        if how.refresh and not self.refreshing:
            self.refreshing = True
            self.journal = [(cell, False) for cell, _ in self.journal]
        found = {
            cell.question
            for cell, since in self.journal
            if (since or not how.refresh) and (how.keeps_errors or cell.result.errortype is None)
        }
        return found if how.refresh else found | set(self._in_file(how))

    def add(self, cells: Iterable[Cell]) -> None:
        """Cells that a run has finished."""
        self.journal += [(cell, self.refreshing) for cell in cells]

    def results(self, rows: Sequence[Row], own: Iterable[Cell], how: How) -> list[Row]:
        """The rows with their results: the latest answers, and errors where there never was one.

        Of errors those of the run itself count, its `own`, and earlier ones if it keeps them.
        """
        every = [cell for cell, _ in self.journal]
        known = {c.question: c.result for c in (every if how.keeps_errors else own) if c.result.errortype}
        known |= self._in_file(how)
        known |= {c.question: c.result for c in every if not c.result.errortype}
        return [replace(row, result=known[row.question] if row.question else None) for row in rows]

    def commit(self, rows: list[Row]) -> None:
        """What a complete run leaves."""
        self.stored, self.journal, self.refreshing = rows, [], False

    def found(self, cells: Iterable[Cell], *, refreshing: bool) -> None:
        """Takes the journal as a kill has left it."""
        since = dict(self.journal)
        self.journal = [(cell, refreshing and since[cell]) for cell in cells]
        self.refreshing = refreshing

    def _in_file(self, how: How) -> dict[Question, Result]:
        """The cells in the column's file."""
        cells = {row.question: row.result for row in self.stored or [] if row.question and row.result}
        return {q: r for q, r in cells.items() if how.keeps_errors or r.errortype is None}
