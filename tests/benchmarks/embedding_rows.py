"""Rows/s of materializing an embedding column, beside a client that sends 32 texts a request and reads JSON numbers.

    python tests/benchmarks/embedding_rows.py [--rows 50000] [--rounds 1]

Texts of 270 characters, vectors of 1,536 numbers. The simulator runs without limits and latency in a process of its own;
both sides use the same transport (aiohttp) and 64 requests in flight; ours includes reading the upstream, the journal
and the Parquet file.
"""

import argparse
import asyncio
import time

import dagster as dg
import openai
import pyarrow as pa
from versus import materialization, simulator, take_turns

from pxt_assets import OpenAIResource, Table
from pxt_assets.functions import embeddings

IN_FLIGHT = 64
MODEL = "text-embedding-3-small"
INPUTS = 32


def texts(rows: int, round_number: int) -> list[str]:
    """Texts of 270 characters, different in every row and round."""
    return [
        f"Ticket {round_number:03}-{row:08}. {'The zip of my jacket broke. ' * 10}"[:270]
        for row in range(rows)
    ]


def ours(base_url: str, rows: int, round_number: int) -> float:
    """Seconds to materialize the column, storage included."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(rows), "body": texts(rows, round_number)})

    tbl = Table(tickets, key="id")
    column = tbl.add_computed_column(vector=embeddings(tbl.body, model=MODEL))
    openai_resource = OpenAIResource(api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT)
    return materialization(tickets, column, openai_resource)


async def _plain(base_url: str, rows: int, round_number: int) -> float:
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(
        api_key="sk-benchmark", base_url=base_url, http_client=openai.DefaultAioHttpClient(timeout=60)
    ) as client:

        async def ask(inputs: list[str]) -> list[list[float]]:
            async with slots:
                answer = await client.embeddings.create(model=MODEL, input=inputs, encoding_format="float")
            return [item.embedding for item in answer.data]

        wanted = texts(rows, round_number)
        started = time.perf_counter()
        await asyncio.gather(
            *(ask(batch) for batch in (wanted[first : first + INPUTS] for first in range(0, rows, INPUTS)))
        )
        return time.perf_counter() - started


def main() -> None:
    """Prints each round's rows/s and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    sides = {
        "materialization": ours,
        "32 inputs, JSON": lambda *given: asyncio.run(_plain(*given)),
    }
    with simulator(0.0) as base_url:
        take_turns(base_url, options.rows, options.rounds, sides)


if __name__ == "__main__":
    main()
