"""Chat rows beside two peers, each in its usual way of use, in turns in one run.

    python tests/benchmarks/peers.py --pixeltable PYTHON --curator PYTHON [--rounds 3] [--today FOLDER] [job ...]

PYTHON are interpreters of environments that have `pixeltable` with `openai`, and `bespokelabs-curator`. Each side of each
round is a process with a lean server of its own; latency is log-normal with a median of 0.3 s. Jobs:

unlimited  3,000 rows, after 50 others for imports and connections: seconds of the whole call that computes the column,
           storage included.
limited    720 rows at 1,200 requests a minute, from a bucket that is 10 % full. 30 s are ideal.
tokens     500 rows at 60,000 tokens a minute, from such a bucket, `max_tokens` unset.
halved     900 rows at 1,200 requests a minute, from such a bucket; after 20 s they are 600. 58 s are ideal.

Of those with a limit the seconds are from the first to the last request that the server admitted. A side that has not ended
after --longest seconds is stopped, and what it has got by then is said.

Pixeltable: a computed column over a table of the rows, as its documentation has it; `max_tokens` is given, without which it
reckons with 100,000 tokens a row for models it does not know, and a model that it knows is named. curator: `LLM` over the
prompts, its limits from the server's headers as by default; its cache and telemetry are off. CPU is that of the process, its
children's (Pixeltable's database) not. With --today a version of this repository in another folder is a further side.
"""

import argparse
import importlib.util
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """Rows before a server."""

    rows: int
    served: str = ""
    """Options of the server."""
    ideal: Callable[[float], float] | None = None
    """Seconds that the limit demands for so many tokens."""
    bounded: bool = True
    """Whether `max_tokens` is given."""


JOBS = {
    "unlimited": Job(3_000),
    "limited": Job(720, "--rpm 1200 --initial-level 0.1", lambda _: 30.0),
    "tokens": Job(
        500,
        "--tpm 60000 --initial-level 0.1",
        lambda tokens: (tokens - 6_000) / 1_000,
        bounded=False,
    ),
    "halved": Job(900, "--rpm 1200 --initial-level 0.1 --halve-after 20", lambda _: 58.0),
}
MODEL = "gpt-4o-mini"
MAX_TOKENS = {"max_completion_tokens": 64}
WARM = 50


def bodies(rows: int, number: int) -> list[str]:
    """Texts of some 270 characters, different in every row and call."""
    again = "The zip of my jacket broke after two days. I would like a new one. "
    return [f"Ticket {number}-{row}. {again}" * 3 for row in range(rows)]


def pxt_assets(base_url: str, folder: str, more: dict[str, Any]) -> Callable[[list[str], int], object]:
    """A column over a stored table."""
    import dagster as dg
    import pyarrow as pa
    from versus import QUIET

    from pxt_assets import ColumnStore, OpenAIResource, Table
    from pxt_assets.functions import chat_completions

    resources = {
        "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url),
        "columns": ColumnStore(base_path=folder),
    }

    def compute(texts: list[str], number: int) -> None:
        @dg.asset(io_manager_key="columns", name=f"tickets_{number}")
        def tickets() -> pa.Table:
            return pa.table({"id": range(len(texts)), "body": texts})

        tbl = Table(tickets, key="id")
        messages = [{"role": "user", "content": tbl.body}]
        tbl.add_computed_column(response=chat_completions(messages, model=MODEL, **more))
        dg.materialize([tickets, *tbl.assets], resources=resources, run_config=QUIET)

    return compute


def pixeltable(base_url: str, folder: str, more: dict[str, Any]) -> Callable[[list[str], int], object]:
    """A computed column over a table of Pixeltable's."""
    os.environ |= {"PIXELTABLE_HOME": folder, "OPENAI_API_KEY": "sk-benchmark", "OPENAI_BASE_URL": base_url}
    import pixeltable as pxt  # type: ignore[import-not-found]
    from pixeltable.functions import openai  # type: ignore[import-not-found]

    def compute(texts: list[str], number: int) -> None:
        table = pxt.create_table(f"tickets_{number}", {"id": pxt.Int, "body": pxt.String})
        table.insert([{"id": row, "body": text} for row, text in enumerate(texts)])
        messages = [{"role": "user", "content": table.body}]
        asked = openai.chat_completions(messages, model=MODEL, model_kwargs=more)
        table.add_computed_column(response=asked)

    return compute


def curator(base_url: str, folder: str, more: dict[str, Any]) -> Callable[[list[str], int], object]:
    """An LLM of curator's over prompts."""
    (where,) = importlib.util.find_spec("litellm").submodule_search_locations  # type: ignore[union-attr, misc]
    os.environ |= {
        "TIKTOKEN_CACHE_DIR": f"{where}/litellm_core_utils/tokenizers",  # otherwise it is downloaded
        "OPENAI_API_KEY": "sk-benchmark",
        "CURATOR_CACHE_DIR": folder,
        "CURATOR_DISABLE_CACHE": "true",
        "TELEMETRY_ENABLED": "false",
        "HF_HUB_OFFLINE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    from bespokelabs import curator as peer  # type: ignore[import-not-found]

    llm = peer.LLM(
        model_name=MODEL,
        backend="openai",
        backend_params={"base_url": base_url},
        generation_params=more,
    )
    return lambda texts, _: llm(texts)


SIDES = {"pxt_assets": pxt_assets, "pixeltable": pixeltable, "curator": curator}


def run_side(side: str, job: str, base_url: str, folder: str) -> None:
    """What the process of a side does: its last line says what the job took."""
    compute = SIDES[side](base_url, folder, MAX_TOKENS if JOBS[job].bounded else {})
    if job == "unlimited":
        compute(bodies(WARM, 1), 1)
    counters = base_url.removesuffix("/v1") + "/counters"
    urllib.request.urlopen(f"{counters}?reset").close()
    started, cpu = time.perf_counter(), time.process_time()
    compute(bodies(JOBS[job].rows, 2), 2)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print()
    print(json.dumps({"whole": seconds, "cpu": cpu}), flush=True)


def measured(python: str, side: str, job: str, tree: Path, longest: float) -> dict[str, Any]:
    """What a side took, in a process with a server of its own, and what the server met."""
    from versus import counters, lean_server

    served = lean_server(0.3, "--latency-sigma", "0.4", *JOBS[job].served.split())
    with served as base_url, tempfile.TemporaryDirectory() as folder:
        command = [python, __file__, "--side", side, job, base_url, folder]
        environment = os.environ | {"PYTHONPATH": str(tree)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                output, trouble = process.communicate(timeout=longest)
            except subprocess.TimeoutExpired:
                found = {"whole": longest, "cpu": math.nan, "met": counters(base_url)}
                process.send_signal(signal.SIGINT)  # so that it stops its database
                process.communicate(timeout=60)
                return found
        if process.returncode:
            sys.exit(f"{side}, {process.returncode}: {trouble}")
        return json.loads(output.splitlines()[-1]) | {"met": counters(base_url)}


def say(name: str, job: str, found: list[dict[str, Any]]) -> float:
    """Prints what a side took. Its median seconds."""
    rows, ideal = JOBS[job].rows, JOBS[job].ideal
    cpu = statistics.median(1000 * one["cpu"] / rows for one in found)
    refused = max(one["met"]["rate_limited"] for one in found)
    answered = min(one["met"]["answered"] for one in found)
    seconds = [one["met"]["seconds"] if ideal else one["whole"] for one in found]
    middle = statistics.median(seconds)
    if answered < rows:
        figure = f"STOPPED after {max(one['whole'] for one in found):.0f} s with {answered} rows"
    elif ideal is None:
        figure = f"{rows / middle:.0f} rows/s"
    else:
        least = statistics.median(ideal(one["met"]["tokens"]) for one in found)
        figure = f"{least:.1f} s are ideal, {least / middle:.1%} of the limit"
    print(
        f"{name:18} {' '.join(f'{one:6.1f}' for one in seconds)} s, median {figure}; {cpu:.2f} ms of CPU a row; "
        f"{refused} 429s",
        flush=True,
    )
    return middle


def main() -> None:
    """Prints a line for each side of each job, and how much faster the first is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("job", nargs="*", default=["unlimited", "limited"], help=", ".join(JOBS))
    parser.add_argument("--pixeltable", metavar="PYTHON")
    parser.add_argument("--curator", metavar="PYTHON")
    parser.add_argument("--today", type=Path, help="folder of another version of this repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--longest", type=float, default=300.0, help="seconds after which a side is stopped")
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(*options.side)
        return
    here = Path(__file__).parents[2]
    runs = {"pxt_assets": (sys.executable, "pxt_assets", here)}
    if options.today:
        runs["the other version"] = (sys.executable, "pxt_assets", options.today)
    for side, python in (("pixeltable", options.pixeltable), ("curator", options.curator)):
        if python:
            runs[side] = (python, side, here)
    for job in options.job:
        print(f"{job}, {JOBS[job].rows:,} rows")
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
        for number in range(options.rounds):
            for name, (python, side, tree) in list(runs.items())[:: -1 if number % 2 else 1]:
                found[name].append(measured(python, side, job, tree, options.longest))
        seconds = {name: say(name, job, took) for name, took in found.items()}
        if job == "unlimited":
            for name in list(runs)[1:]:
                print(f"{seconds[name] / seconds['pxt_assets']:.2f} times as fast as {name}")


if __name__ == "__main__":
    main()
