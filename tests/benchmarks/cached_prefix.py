"""What the cache of prompts saves: rows with a prefix of 2,000 tokens in common and tails of 500, with `cache` and without.

    python tests/benchmarks/cached_prefix.py [--rows 1000] [--latency 2] [--rpm RPM] [--model gpt-6-luna]

The simulator bills as the API does from GPT-5.6 on: 1.25 times the price for what is written to the cache, a tenth of it or
less for what is read there, requests at once each for themselves. The least that these rules allow is one write of the
prefix, a read of it in all other rows, and no write of a tail. `all at once` is the same without the wait for the first
answer. Beside each cost stands its ratio to the least, and the time that the run took. Prices are the price table's.
"""

import argparse
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import dagster as dg
import pyarrow as pa
from versus import QUIET

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api import prefix_lead
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage
from pxt_assets.functions import chat_completions, responses

PREFIX_TOKENS, TAIL_TOKENS = 2_000, 500
_CHARACTERS_PER_TOKEN, _OF_MESSAGE = 4, 3
_FUNCTIONS = {"chat_completions": chat_completions, "responses": responses}
_TOTALS = ("pxt/input_tokens", "pxt/output_tokens", "pxt/cached_tokens", "pxt/cost_usd")


def text_of(tokens: int, beginning: str = "") -> str:
    """A text of that many tokens, as the simulator counts them."""
    return (beginning + "the law says " * tokens)[: tokens * _CHARACTERS_PER_TOKEN]


def run(function: str, cache: str, options: argparse.Namespace) -> tuple[dict[str, float], float]:
    """The totals of one run, and its seconds."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        bodies = [text_of(TAIL_TOKENS - _OF_MESSAGE, f"{i} ") for i in range(options.rows)]
        return pa.table({"id": range(options.rows), "body": bodies})

    tbl = Table(tickets, key="id")
    messages = [
        {"role": "system", "content": text_of(PREFIX_TOKENS - _OF_MESSAGE)},
        {"role": "user", "content": tbl.body},
    ]
    call: Any = _FUNCTIONS[function](messages, model=options.model)
    tbl.add_computed_column(answer=call, cache=cache)
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        openai = OpenAIResource.simulated(latency=options.latency, rpm=options.rpm, ledger="memory")
        started = time.perf_counter()
        result = dg.materialize(
            [tickets, *tbl.assets],
            resources={"openai": openai, "columns": ColumnStore(base_path=folder)},
            instance=instance,
            run_config=QUIET,
        )
        seconds = time.perf_counter() - started
    found = result.asset_materializations_for_node("tickets__answer")[0].metadata
    return {name: float(found[name].value) for name in _TOTALS}, seconds


def least_usd(totals: dict[str, float], options: argparse.Namespace) -> float:
    """What these rows cost at least: the sum of the one that writes the prefix and of those that read it."""
    asked, answered = (round(totals[name] / options.rows) for name in _TOTALS[:2])
    first = cost_usd(options.model, Usage(asked, answered, cache_write_tokens=PREFIX_TOKENS))
    other = cost_usd(options.model, Usage(asked, answered, cached_tokens=PREFIX_TOKENS))
    assert first is not None
    assert other is not None
    return first + (options.rows - 1) * other


def main() -> None:
    """Prints what each way costs, and how long it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds")
    parser.add_argument("--rpm", type=float, default=None)
    parser.add_argument("--model", default="gpt-6-luna")
    options = parser.parse_args()
    at_once = mock.patch.object(prefix_lead, "HOLD_SECONDS", 0.0)
    for function in _FUNCTIONS:
        ways: dict[str, tuple[str, AbstractContextManager[object]]] = {
            "off": ("off", nullcontext()),
            "auto, all at once": ("auto", at_once),
            "auto": ("auto", nullcontext()),
        }
        for way, (cache, patched) in ways.items():
            with patched:
                totals, seconds = run(function, cache, options)
            least, cost = least_usd(totals, options), totals["pxt/cost_usd"]
            print(
                f"{function:16} cache {way:18} ${cost:.5f}, {cost / least:.3f} of the least (${least:.5f}); "
                f"{totals['pxt/cached_tokens'] / totals['pxt/input_tokens']:.0%} of the tokens read from the cache; {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
