"""Dagster's UI in a browser."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.dagster_dev import DagsterDev

SECONDS = 120
CHROMIUM = os.environ.get("PXT_CHROMIUM") or shutil.which("chromium")
ALONE = [  # nothing goes out, whatever the browser would like to look up
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GO = "path => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"


class Pages:
    """The UI of a server of Dagster's; what is shown is kept as `<name>.png` in PXT_SCREENSHOTS, if that is set."""

    def __init__(self, dev: DagsterDev, page: Any) -> None:
        self.dev = dev
        self.page = page

    def open(self, path: str, *texts: str) -> Any:
        """The page, once it shows all of these texts.

        After the first it is gone to as a click on a link goes there, since loading the UI takes seconds.
        """
        if self.page.url == f"{self.dev.url}/{path}":
            self.page.reload()
        elif self.page.url.startswith(self.dev.url):
            self.page.evaluate(GO, f"/{path}")
        else:
            self.page.goto(f"{self.dev.url}/{path}")
        for text in texts:
            self.page.get_by_text(text).first.wait_for()
        return self.page

    def entry(self, path: str, name: str) -> Any:
        """The row of a metadata entry on that page."""
        self.open(path, name)
        return self.page.locator("tr", has_text=name).first

    def dialog(self, path: str, name: str) -> Any:
        """What a Markdown entry shows, at once or in the dialog that opens."""
        row = self.entry(path, name)
        button = row.get_by_text("Show Markdown")
        button.or_(row.locator("img").first).first.wait_for()
        if not button.count():
            return row
        button.click()
        return self.page.get_by_role("dialog")

    def keep(self, name: str) -> None:
        """A picture of the page."""
        folder = os.environ.get("PXT_SCREENSHOTS")
        if folder:
            self.page.wait_for_timeout(3_000)  # until what is drawn late is drawn, for people
            self.page.screenshot(path=f"{folder}/{name}.png")


@contextmanager
def browser(dev: DagsterDev, *, width: int = 1_400, height: int = 900) -> Iterator[Pages]:
    """Within the block, the UI of `dev` in a Chromium; skips where there is none, unless it is required."""
    if CHROMIUM is None:
        said = "needs Chromium (Debian's package chromium, or PXT_CHROMIUM=<its path>)"
        pytest.fail(said) if os.environ.get("PXT_REQUIRE_CHROMIUM") else pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(SECONDS * 1_000)
        yield Pages(dev, page)
        chromium.close()
