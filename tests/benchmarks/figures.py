"""All figures of the page of figures that other benchmarks measure, one after the other, with what was reached before.

    python tests/benchmarks/figures.py [--today FOLDER] [--pixeltable PYTHON --curator PYTHON] [--only WORD ...]

Each is a command of its own, printed before its output; it takes some two hours in all, on a machine that does nothing else.
With --today those that can are set beside a version of this repository in another folder.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

FIGURES = {
    "chat rows over HTTP": "chat_rows.py",
    "chat rows over TLS": "chat_rows.py --tls",
    "embeddings": "embedding_rows.py",
    "moderations, captions, speech": "media_rows.py",
    "first request": "first_request.py",
    "limiter": "limiter.py",
    "memory": "many_rows.py",
    "images in flight": "images_in_flight.py",
    "killed": "killed.py",
    "journal": "journal_overhead.py",
    "no headers": "no_headers.py",
    "straggler": "straggler.py",
    "cached prefix": "cached_prefix.py",
    "peers": "peers.py",
}
BESIDE = {"chat_rows.py", "embedding_rows.py", "media_rows.py", "peers.py"}


def command(line: str, options: argparse.Namespace) -> list[str]:
    """The command of a figure."""
    script, *given = line.split()
    if script in BESIDE and options.today:
        given += ["--today", options.today]
    if script == "peers.py":
        peers = (("--pixeltable", options.pixeltable), ("--curator", options.curator))
        given += [word for pair in peers if pair[1] for word in pair]
    return [sys.executable, str(Path(__file__).with_name(script)), *given]


def main() -> None:
    """Runs what is asked for; ends with 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--today", metavar="FOLDER")
    parser.add_argument("--pixeltable", metavar="PYTHON")
    parser.add_argument("--curator", metavar="PYTHON")
    parser.add_argument("--only", nargs="*", default=[], help=", ".join(FIGURES))
    options = parser.parse_args()
    failed = []
    for name, line in FIGURES.items():
        if options.only and not any(word in name for word in options.only):
            continue
        words = command(line, options)
        print(f"\n== {name}: python {' '.join(words[1:])}", flush=True)
        started = time.monotonic()
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
