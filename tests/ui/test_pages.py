"""What a browser shows of columns at a glance, on Dagster's own pages."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from tests.browser import CHROMIUM, Pages, browser
from tests.dagster_dev import dagster_dev
from tests.ui.runs import Project

DEFINITIONS = "tests/ui/definitions.py"
WIDTH = 1_280
TRIAL = {"limit": 1}
DRY = {"dry_run": True}
NO_MONEY = {"max_cost_usd": 0.0000001, "refresh": True}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="module")
def module(home: Path) -> Iterator[ModuleType]:
    """The definitions, with their store in the instance's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PXT_DEMO_STORE", str(home / "columns"))
        patch.setenv("DAGSTER_HOME", str(home))
        yield importlib.import_module("tests.ui.definitions")


@pytest.fixture(scope="module")
def pages(home: Path, module: ModuleType) -> Iterator[Pages]:
    """The pages after all runs: columns of each kind, ten days of which two fail, and runs that store nothing."""
    if CHROMIUM is None and not os.environ.get("PXT_REQUIRE_CHROMIUM"):
        pytest.skip("needs Chromium (Debian's package chromium, or PXT_CHROMIUM=<its path>)")
    with dagster_dev(home, ("dagster_webserver", "-f", DEFINITIONS)) as dev:
        with dg.DagsterInstance.get() as instance:
            run_all(Project(instance, module.defs), module.DAYS)
        with browser(dev, width=WIDTH, height=1_600) as pages:
            yield pages


def run_all(project: Project, days: list[str]) -> None:
    """What users do: everything once, then rehearsals and a run that ends early."""
    all_days = (days[0], days[-1])
    project.run("tickets")
    kinds = (
        "answer text triage called told similar judged vector picture sound heard body_idx_vectors body_idx"
    )
    project.run(*(f"tickets/{name}" for name in kinds.split()))
    project.run("days", "days/lenient", "days/answer", days=all_days)
    project.run("days/strict", days=all_days, succeeds=False)
    project.run("days/lenient", "days/answer", days=(days[0], days[0]), config=DRY)
    project.run("tickets/answer", config=DRY)
    project.run("tickets/text", config=TRIAL)
    project.run("tickets/triage", config=NO_MONEY, succeeds=False)


CUT_OFF = """entry => {
    let visible = window.innerWidth;
    for (let box = entry.parentElement; box; box = box.parentElement)
        if (getComputedStyle(box).overflowX !== 'visible')
            visible = Math.min(visible, box.getBoundingClientRect().right);
    const range = document.createRange();
    range.selectNodeContents(entry);
    return [...range.getClientRects()].filter(one => one.width && one.right > visible + 1).length;
}"""
"""How many lines and pictures of an element go beyond what can be seen of it."""


def shown(pages: Pages, asset: str, name: str, view: str = "overview") -> str:
    """The text of a metadata entry, all of it in sight without a click."""
    entry = pages.entry(f"assets/{asset}?view={view}", name)
    assert entry.get_by_text("Show Markdown").count() == 0
    assert entry.evaluate(CUT_OFF) == 0
    text = (
        str(entry.inner_text()).replace("\u200b", "").replace("\u2060", "")
    )  # which words may be broken at, or not
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("asset", "after"),
    [
        ("tickets/answer", "a dry run"),
        ("tickets/text", "a trial"),
        ("tickets/triage", "a run that its budget stopped"),
    ],
)
def test_checks_that_passed_are_green(pages: Pages, asset: str, after: str) -> None:
    """Of what is stored, whatever kind of run came last."""
    page = pages.open(f"assets/{asset}?view=checks", "no_failed_cells", "Latest execution")
    pages.keep(f"checks after {after}")
    page.get_by_text("Passed").first.wait_for()
    succeeded = page.get_by_text("Succeeded")
    succeeded.nth(1).wait_for()
    assert succeeded.count() == 2
    assert not page.get_by_text("Skipped").count()
    assert not page.get_by_text("Execution failed").count()


def test_a_warning_stays_after_a_dry_run(pages: Pages) -> None:
    """Two days of ten have a failed row, whichever day was rehearsed last."""
    page = pages.open("assets/days/lenient?view=checks", "no_failed_cells", "Latest execution")
    pages.keep("warning after a dry run")
    page.get_by_text("2 have failed rows: 2026-11-26 (1), 2026-11-27 (1)").first.wait_for()
    assert not page.get_by_text("Skipped").count()


def test_a_partial_failure_says_what_failed(pages: Pages) -> None:
    """The newest event counts what is stored, and names the rest."""
    said = shown(pages, "days/strict", "pxt/summary", "events")
    pages.keep("partial failure")
    assert "8 of 10 partitions stored; 2 failed: 2026-11-26 (1 row), 2026-11-27 (1 row)" in said


@pytest.mark.parametrize("width", [1_280, 1_440, 1_920])
def test_the_summary_is_seen_whole(pages: Pages, width: int) -> None:
    """As sentences, at any width."""
    pages.page.set_viewport_size({"width": width, "height": 1_600})
    said = shown(pages, "tickets/answer", "pxt/summary")
    pages.keep(f"summary {width}")
    pages.page.set_viewport_size({"width": WIDTH, "height": 1_600})
    assert "4 rows: 3 computed, 1 null · 3 requests, no 429 · " in said
    assert "$" in said


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("answer", ["body", "The lamp came broken."]),
        ("text", ["[simulated] How do I change"]),
        ("triage", ["id", "body", "topic"]),
        ("called", ["order_status(order="]),
        ("told", ["is on its way"]),
        ("similar", ["(1.00)"]),
        ("judged", ["0."]),
        ("vector", ["1,536", "nearest"]),
        ("picture", ["The lamp came broken."]),
        ("sound", [" s"]),
        ("heard", ["heard"]),
        ("body_idx_vectors", ["1,536"]),
        ("body_idx", ["looked for"]),
    ],
)
def test_a_preview_is_judged_at_a_glance(pages: Pages, name: str, texts: list[str]) -> None:
    """What was asked beside what came of it, in the way of its kind, without a click."""
    said = shown(pages, f"tickets/{name}", "pxt/preview")
    pages.keep(f"preview of {name}")
    for text in texts:
        assert text in said
