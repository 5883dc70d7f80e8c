"""Rows/s and CPU of materializing an embedding column, beside a client that sends 32 texts a request and reads JSON numbers.

    python tests/benchmarks/embedding_rows.py [--rows 50000] [--rounds 3] [--tls] [--today FOLDER]

Texts of 270 characters, vectors of 1,536 numbers. The server is the lean one, without limits and latency; both sides have
64 requests in flight, the plain client over aiohttp; ours includes reading the upstream, the journal and the Parquet file.
Each side of each round is a process of its own. With --today a version of this repository in another folder is a further side.
"""

import argparse
import asyncio

import dagster as dg
import openai
import pyarrow as pa
from versus import Took, add_side_options, lean_server, materialization, run_side, take_turns, timed

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


def ours(base_url: str, rows: int, round_number: int) -> Took:
    """The column is materialized, storage included."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(rows), "body": texts(rows, round_number)})

    tbl = Table(tickets, key="id")
    column = tbl.add_computed_column(vector=embeddings(tbl.body, model=MODEL))
    openai_resource = OpenAIResource(api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT)
    return materialization(tickets, column, openai_resource)


async def _plain(base_url: str, rows: int, round_number: int) -> Took:
    found: list[Took] = []
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(
        api_key="sk-benchmark", base_url=base_url, http_client=openai.DefaultAioHttpClient(timeout=60)
    ) as client:

        async def ask(inputs: list[str]) -> list[list[float]]:
            async with slots:
                answer = await client.embeddings.create(model=MODEL, input=inputs, encoding_format="float")
            return [item.embedding for item in answer.data]

        wanted = texts(rows, round_number)
        batches = [wanted[first : first + INPUTS] for first in range(0, rows, INPUTS)]
        with timed(found):
            await asyncio.gather(*map(ask, batches))
    return found[0]


SIDES = {"ours": ours, "plain": lambda *given: asyncio.run(_plain(*given))}


def main() -> None:
    """Prints each round's rows/s and the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    add_side_options(parser)
    options = parser.parse_args()
    if options.side:
        run_side(SIDES, options)
        return
    with lean_server(0.0, *(["--tls"] if options.tls else [])) as base_url:
        take_turns(__file__, base_url, {"materialization": "ours", "32 inputs, JSON": "plain"}, options)


if __name__ == "__main__":
    main()
