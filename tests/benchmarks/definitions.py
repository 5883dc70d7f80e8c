"""How long definitions take to load: computed columns over daily partitions, beside as many plain assets of Dagster's.

python tests/benchmarks/definitions.py [--columns 500] [--partitions 1000]
"""

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Iterator

import dagster as dg

ROUNDS = 3
KINDS = ("plain", "ours")


def load(kind: str, columns: int, partitions: int) -> float:
    """Seconds to make the definitions and resolve their assets, as a code location does; imports not counted."""
    from pxt_assets import ColumnStore, OpenAIResource, Table
    from pxt_assets.functions import chat_completions, embeddings

    first = datetime.date(2027, 1, 1)
    end = first + datetime.timedelta(days=partitions)
    days = dg.DailyPartitionsDefinition(first.isoformat(), end_date=end.isoformat())
    policy = dg.BackfillPolicy.single_run()

    @dg.asset(name="tickets", partitions_def=days, backfill_policy=policy, io_manager_key="columns")
    def tickets() -> None: ...

    started = time.perf_counter()
    assets: list[dg.AssetsDefinition] = [tickets]
    if kind == "ours":
        tbl = Table(tickets, key="id")
        for i in range(columns):
            if i % 2:
                tbl.add_computed_column(
                    **{f"c{i}": embeddings(tbl[f"c{i - 1}"].choices[0].message.content, model="m")}
                )
            else:
                message = {"role": "user", "content": tbl.body}
                tbl.add_computed_column(**{f"c{i}": chat_completions([message], model="m")})
        assets += tbl.assets
    else:
        for i in range(columns):
            assets.append(plain(f"c{i}", f"c{i - 1}" if i % 2 else "tickets", days, policy))
    resources = {"columns": ColumnStore(base_path="data"), "openai": OpenAIResource(api_key="unused")}
    definitions = dg.Definitions(assets=assets, resources=resources)
    definitions.get_repository_def().load_all_definitions()
    return time.perf_counter() - started


def plain(
    name: str, upstream: str, days: dg.PartitionsDefinition[str], policy: dg.BackfillPolicy
) -> dg.AssetsDefinition:
    """An asset with an input and a check, as one would write it."""
    key = dg.AssetKey(["tickets", name])
    above = dg.AssetKey(["tickets"] if upstream == "tickets" else ["tickets", upstream])

    @dg.multi_asset(
        name=f"tickets__{name}",
        specs=[dg.AssetSpec(key, deps=[above], partitions_def=days).with_io_manager_key("columns")],
        ins={"rows": dg.AssetIn(above)},
        check_specs=[dg.AssetCheckSpec("checked", asset=key)],
        can_subset=True,
        backfill_policy=policy,
        required_resource_keys={"openai", "columns"},
    )
    def column(context: dg.AssetExecutionContext, rows: object) -> Iterator[object]:
        yield dg.MaterializeResult(asset_key=key)

    return column


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--partitions", type=int, default=1_000)
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(load(given.one, given.columns, given.partitions))
        return
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            command = [sys.executable, __file__, "--one", kind, "--columns", str(given.columns)]
            done = subprocess.run(
                [*command, "--partitions", str(given.partitions)], capture_output=True, text=True, check=True
            )
            seconds[kind].append(float(done.stdout.split()[-1]))
    of_dagster, ours = min(seconds["plain"]), min(seconds["ours"])
    print(f"{given.columns} columns over {given.partitions} partitions: {ours:.2f} s")
    print(f"as many plain assets of Dagster's: {of_dagster:.2f} s, so {ours - of_dagster:.2f} s beyond")


if __name__ == "__main__":
    main()
