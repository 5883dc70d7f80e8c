"""Rows/s and CPU of materializing a chat column, beside a bare `gather` of the client's typed calls, in one run.

    python tests/benchmarks/chat_rows.py [--rows 5000] [--latency 0.3] [--rounds 3] [--tls] [--today FOLDER]

The server is the lean one, without limits. Both sides have 500 requests in flight, the bare one over aiohttp; ours includes
reading the upstream, the journal and the Parquet file. Each side of each round is a process of its own; rounds take turns,
so that the ratio holds where the machine's speed drifts. With --today a version of this repository in another folder is a
further side.
"""

import argparse
import asyncio

import dagster as dg
import openai
import pyarrow as pa
from versus import Took, add_side_options, lean_server, materialization, run_side, take_turns, timed

from pxt_assets import OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

IN_FLIGHT = 500


def body(row: int, round_number: int) -> str:
    """A text of some 270 characters, different in every row and round."""
    return (
        f"Ticket {round_number}-{row}. The zip of my jacket broke after two days. I would like a new one. "
        * 3
    )


def ours(base_url: str, rows: int, round_number: int) -> Took:
    """The column is materialized, storage included."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(rows), "body": [body(i, round_number) for i in range(rows)]})

    tbl = Table(tickets, key="id")
    messages = [{"role": "user", "content": tbl.body}]
    response = tbl.add_computed_column(response=chat_completions(messages, model=CHAT_MODEL))
    openai_resource = OpenAIResource(api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT)
    return materialization(tickets, response, openai_resource)


async def _bare(base_url: str, rows: int, round_number: int) -> Took:
    found: list[Took] = []
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with openai.AsyncOpenAI(
        api_key="sk-benchmark", base_url=base_url, http_client=openai.DefaultAioHttpClient(timeout=60)
    ) as client:

        async def ask(row: int) -> str | None:
            async with slots:
                answer = await client.chat.completions.create(
                    model=CHAT_MODEL, messages=[{"role": "user", "content": body(row, round_number)}]
                )
            return answer.choices[0].message.content

        with timed(found):
            await asyncio.gather(*(ask(row) for row in range(rows)))
    return found[0]


SIDES = {"ours": ours, "bare": lambda *given: asyncio.run(_bare(*given))}


def main() -> None:
    """Prints each round's rows/s and the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--latency", type=float, default=0.3)
    add_side_options(parser)
    options = parser.parse_args()
    if options.side:
        run_side(SIDES, options)
        return
    with lean_server(options.latency, *(["--tls"] if options.tls else [])) as base_url:
        take_turns(__file__, base_url, {"materialization": "ours", "bare gather": "bare"}, options)


if __name__ == "__main__":
    main()
