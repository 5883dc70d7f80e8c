"""The pages for users, README.md and those in pxt_assets/docs/, and the blocks of code in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "pxt_assets" / "docs"
PAGES = (README, *sorted(DOCS.glob("*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_id(page: Path) -> str:
    """Its path from the root, as a test's id has it."""
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, page: Path | None = None, *, without: str = "") -> list:
    """The blocks in a language of one page, or of all, each as a parameter whose id is the page and its number there.

    Blocks that begin with `without` are left out.
    """
    return [
        pytest.param(text, id=f"{page_id(one)}-{number}")
        for one in PAGES
        if page in (None, one)
        for number, (of, text) in enumerate(_BLOCK.findall(one.read_text()), 1)
        if of == language and not (without and text.startswith(without))
    ]


def languages() -> dict[str, set[str]]:
    """The languages of each page's blocks."""
    return {page_id(page): {of for of, _ in _BLOCK.findall(page.read_text())} for page in PAGES}


def prose(page: Path) -> str:
    """Its text without the blocks."""
    return _BLOCK.sub("", page.read_text())
