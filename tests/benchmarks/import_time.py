"""What the names of `pxt_assets` add to `import dagster`, each in processes of its own, alternating.

python tests/benchmarks/import_time.py [--rounds 9]
"""

import argparse
import statistics
import subprocess
import sys

_MEASURE = "import time; import dagster; t = time.perf_counter(); from pxt_assets import *; print(time.perf_counter() - t)"


def main() -> None:
    """Prints the median and the range of the milliseconds added."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    added = [
        1_000
        * float(
            subprocess.run(
                [sys.executable, "-c", _MEASURE], check=True, capture_output=True, text=True
            ).stdout
        )
        for _ in range(rounds)
    ]
    print(f"median {statistics.median(added):.0f} ms, from {min(added):.0f} to {max(added):.0f} ms")


if __name__ == "__main__":
    main()
