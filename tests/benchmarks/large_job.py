"""The arithmetic of a large job: tokens, time, cost and storage of so many chat rows, by the package's own price table.

    python tests/benchmarks/large_job.py [--measure ROWS]

Prints the table of the page about scale. With --measure the bytes that a row takes are measured first: a column is
computed over rows of that many tokens of random words, before the simulator, and the files of the store are added up.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

ROWS = (1_000_000, 100_000_000, 1_000_000_000)
HEAD = "| rows | tokens | now | `flex` | batch | time, now or `flex` | time, batch | stored |"


@dataclass(frozen=True)
class Job:
    """What the table assumes of a row and of the account."""

    model: str = CHAT_MODEL
    input_tokens: int = 250
    output_tokens: int = 50
    requests_a_minute: int = 30_000
    tokens_a_minute: int = 10_000_000
    queue_tokens: int = 10_000_000_000
    """Tokens that may be in batches on their way."""
    bytes_a_row: int = 290
    """Of the column with the answers, of one with their text, and of where they come from; measured."""

    def cost_usd(self, rows: int, way: str) -> float:
        """What all rows cost in US dollars, `now`, by `flex` or by `batch`."""
        usage = Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens)
        tier = "flex" if way == "flex" else None
        price = cost_usd(self.model, usage, "batch" if way == "batch" else "standard", tier)
        assert price is not None, f"no price is known for {self.model}"
        return rows * price

    def minutes(self, rows: int) -> float:
        """Minutes of the limits that the rows take, whichever is spent first."""
        tokens = rows * (self.input_tokens + self.output_tokens)
        return max(rows / self.requests_a_minute, tokens / self.tokens_a_minute)

    def days_by_batch(self, rows: int) -> int:
        """Days at most: a day each time that the queue is filled."""
        return -(-rows * self.input_tokens // self.queue_tokens)


def table(job: Job = Job()) -> Iterator[str]:
    """The lines of the table."""
    yield HEAD
    yield "|" + "---|" * (HEAD.count("|") - 1)
    for rows in ROWS:
        cost = {way: f"${job.cost_usd(rows, way):,.0f}" for way in ("now", "flex", "batch")}
        tokens = rows * (job.input_tokens + job.output_tokens)
        days = job.days_by_batch(rows)
        yield (
            f"| {_short(rows)} | {_short(tokens)} | {cost['now']} | {cost['flex']} | {cost['batch']} | "
            f"{_duration(job.minutes(rows))} | {days} {'day' if days == 1 else 'days'} at most | "
            f"{_short(rows * job.bytes_a_row)}B |"
        )


def _short(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:,.0f}"


def _duration(minutes: float) -> str:
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 72 * 60 else f"{minutes / 1440:.0f} days"


def measure(rows: int, job: Job) -> dict[str, float]:
    """Bytes a row of each kind of file, by the name of the column or the suffix of the file."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5_000)]

    def text(tokens: int) -> str:
        return " ".join(rng.choices(words, k=round(tokens * 4 / 6.5)))

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(rows), "body": [text(job.input_tokens) for _ in range(rows)]})

    tbl = Table(tickets, key="id")
    messages = [{"role": "user", "content": tbl.body}]
    tbl.add_computed_column(
        response=chat_completions(messages, model=job.model, max_tokens=job.output_tokens)
    )
    tbl.add_computed_column(answer=tbl.response.choices[0].message.content)
    with tempfile.TemporaryDirectory() as folder:
        journal: list[int] = []
        kept = "pxt_assets.compute.cells.journal.Journal.remove"
        real = __import__("pxt_assets.compute.cells.journal", fromlist=["Journal"]).Journal.remove

        def remove(self: object) -> None:
            journal.append(sum(path.stat().st_size for path in Path(folder).rglob("*.arrow")))
            real(self)

        with mock.patch(kept, remove):
            dg.materialize(
                [tickets, *tbl.assets],
                resources={"columns": ColumnStore(base_path=folder), "openai": OpenAIResource.simulated()},
            )
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size / rows
            for path in Path(folder).rglob("*")
            if path.suffix in (".parquet", ".provenance")
        }
    return {**sizes, "journal, until the partition is stored": journal[0] / rows}


def main() -> None:
    """Prints the table, and what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--measure", type=int, metavar="ROWS")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, Job()), indent=2))
    print("\n".join(table()))


if __name__ == "__main__":
    main()
