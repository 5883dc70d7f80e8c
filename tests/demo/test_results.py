"""The table at the end of the demo's run, and the rows that failed."""

import io

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.demo.results import _AssetTotals, _sums, print_failed_rows, print_results
from pxt_assets.demo.terminal import DemoConsole
from pxt_assets.demo.user_files import find_user_files
from pxt_assets.demo.user_table import user_table
from tests.runs import materialize


@pytest.fixture(scope="module")
def ran(_simulator, tmp_path_factory):
    """Two runs over a file, one of whose texts is empty: the table, and the results."""
    folder = tmp_path_factory.mktemp("demo")
    path = folder / "tickets.csv"
    path.write_text('id;body\n1;The tent leaks.\n2;Thank you!\n3;""\n')
    files, _ = find_user_files(path, key="id", text="body", separator=None, encoding="utf-8")
    table = user_table(files)
    store = ColumnStore(base_path=str(folder / "columns"))
    openai = OpenAIResource(base_url=_simulator.base_url, api_key="sk-test", default_rpm=60_000)
    return table, [materialize(table.assets, store, openai) for _ in range(2)]


@pytest.fixture
def printed(ran, monkeypatch):
    """What is printed of a run, 0 or 1, on a terminal of that width."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    table, results = ran

    def show(run, width=None):
        file = io.StringIO()
        console = DemoConsole(file=file, width=width, force_terminal=width is not None, no_color=True)
        print_results(console, results[run], [table])
        print_failed_rows(console, results[run], "So it is.")
        return [
            line.rstrip()
            for line in file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").split("\n")
        ]

    return show


def test_a_second_run_says_what_it_reused(printed):
    """Its table explains why nothing was sent."""
    first, second = printed(0), printed(1)
    assert first[0].split()[-7:] == ["rows", "reused", "failed", "requests", "tokens", "cost", "seconds"]
    (row,) = [line.split() for line in first if line.startswith("tickets/embed")]
    assert row[1:5] == ["3", "0", "1", "1"]
    (row,) = [line.split() for line in second if line.startswith("tickets/response")]
    assert row[1:5] == ["3", "3", "0", "0"]
    assert not any(line.startswith("Reused rows") for line in first)
    assert any(line.startswith("Reused rows") for line in second)


def test_failed_rows_are_named_with_their_errors(printed):
    """Below the table, with what it means that they failed."""
    lines = printed(0)
    at = lines.index("1 row failed:")
    assert lines[at + 1].startswith(
        "  tickets/embed, row id=3: ValueError: embeddings: input: got an empty text"
    )
    assert lines[at + 2] == "So it is."


def test_the_last_line_of_the_table_is_the_total(printed):
    """Of what adds up: requests, tokens, and the cost."""
    lines = printed(0)
    rows = [line.split() for line in lines if line.startswith("tickets/")]
    (total,) = [line.split() for line in lines if line.startswith("total")]
    assert int(total[1]) == sum(int(row[4]) for row in rows) > 0
    assert int(total[2].replace(",", "")) == sum(int(row[5].replace(",", "")) for row in rows) > 0
    assert float(total[3].removeprefix("$")) == pytest.approx(
        sum(float(row[6][1:]) for row in rows), rel=0.01
    )
    assert not any("unknown" in line for line in lines)


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        ([["unknown", 0.5], [0.25, 0.25]], "more than $1.00"),
        ([["unknown"], ["unknown"]], "unknown"),
        ([["unknown"], [0.0]], "unknown"),
        ([[0.5], [0.25]], "$0.75"),
    ],
)
def test_a_cost_that_is_known_in_part_is_a_least_one(costs, total):
    """Also where only some partitions of an asset have one."""
    counts = ("rows_reused", "rows_failed", "requests", "input_tokens", "output_tokens", "simulated")
    assets = []
    for partitions in costs:
        asset = _AssetTotals()
        for cost in partitions:
            asset.add({**{f"pxt/{name}": 0 for name in counts}, "pxt/cost_usd": cost})
        assets.append(asset)
    assert _sums(assets)["cost"] == total


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_table_fits_the_terminal(printed, width):
    """On a narrow one some columns are left out, and named; no figure is cut off."""
    lines = printed(0, width)
    (header,) = [line for line in lines if line.startswith("asset")]
    table = lines[lines.index(header) :][: len(ASSETS) + 1]
    assert [line.split()[0] for line in table[1:]] == ASSETS
    assert max(map(len, table)) <= width
    assert not any("…" in line for line in table)
    shown = {name for name in ("tokens", "seconds") if name in header.split()}
    told = " ".join(lines).partition("Left out for want of room:")[2]
    assert {name for name in ("tokens", "seconds") if name in told} == {"tokens", "seconds"} - shown


ASSETS = [
    "tickets",
    "tickets/response",
    "tickets/summary",
    "tickets/embed",
    "tickets/moderation",
    "tickets/flagged",
]
