"""Lists of the API, page by page, as far back as a time of creation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

CLOCK_SLACK_SECONDS = 900.0
"""By how much the server's clock may differ from this machine's."""
_MOST_PAGES = 10_000
"""Of a list that never ends."""


async def all_pages(
    fetch: Callable[[str | None], Awaitable[object]], since: float, page_size: int
) -> list[Mapping[str, Any]]:
    """What a list holds that was created at `since` or later, in seconds since 1970, or does not say when.

    `fetch` gets the id after which a page begins, and gives the page's JSON. A list that begins with the newest is read as
    far as `since`; one in another order wholly. A clock of the server's may be off by some minutes.
    """
    oldest = since - CLOCK_SLACK_SECONDS
    found: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    after: str | None = None
    last_time: float | None = None
    falls, rises = False, False
    for _ in range(_MOST_PAGES):
        page = await fetch(after)
        items, has_more = _page(page)
        new = [one for one in items if one["id"] not in seen]
        if not new:
            break
        for one in new:
            seen.add(one["id"])
            created = created_at(one)
            if created is None or created >= oldest:
                found.append(one)
            if created is not None and last_time is not None:
                falls, rises = falls or created < last_time, rises or created > last_time
            last_time = last_time if created is None else created
        past = last_time is not None and last_time < oldest and falls and not rises
        if past or has_more is False or (has_more is None and len(items) < page_size):
            break
        after = str(items[-1]["id"])
    return found


def created_at(one: Mapping[str, Any]) -> float | None:
    """When something of a list was created, in seconds since 1970; None where it does not say."""
    stated = one.get("created_at")
    return (
        float(stated)
        if isinstance(stated, int | float) and not isinstance(stated, bool) and stated > 0
        else None
    )


def _page(said: object) -> tuple[Sequence[Mapping[str, Any]], bool | None]:
    """The things of a page, and whether more follow; None where it does not say."""
    data = said.get("data") if isinstance(said, Mapping) else said
    has_more = said.get("has_more") if isinstance(said, Mapping) else None
    things = (
        [one for one in data if isinstance(one, Mapping) and one.get("id")] if isinstance(data, list) else []
    )
    return things, has_more if isinstance(has_more, bool) else None
