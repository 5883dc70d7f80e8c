"""The first request of a cached prefix goes alone: the others find in the cache what its answer has put there.

All that are sent before that answer miss, and each pays a quarter more than the price for the prefix, which those after it
read at a tenth of the price. So a run of requests costs the time of one answer more, and no prefix twice.
"""

from __future__ import annotations

from collections import defaultdict

from pxt_assets.api.failure import Failure
from pxt_assets.api.prefix_lead import Prefix
from pxt_assets.api.request import Request
from pxt_assets.api.request_tracker import RequestTracker

MARK_NAMED = "prompt_cache"
"""What the message of a refusal names, if it is the mark that is refused."""


class PrefixTurns:
    """The cached prefixes of one client. For one event loop."""

    def __init__(self) -> None:
        self._prefixes: defaultdict[str, Prefix] = defaultdict(Prefix)
        self._refused: set[tuple[str, str]] = set()
        """The endpoints and models that do not take the mark of a prefix's end."""

    async def enter(self, tracker: RequestTracker) -> None:
        """Returns when a request with a prefix may go; without its mark, where that is refused."""
        request = tracker.request
        if request.prefix is None:
            return
        if _kind(request) not in self._refused:
            tracker.lead = await self._prefixes[request.prefix.key].lead_or_wait()
        if _kind(request) in self._refused:
            if tracker.lead is not None:
                tracker.lead.failed()
            tracker.request = request.unmarked()

    def is_mark_refused(self, tracker: RequestTracker, failure: Failure) -> bool:
        """Whether a request was refused for the mark of its prefix, so that it is to be sent again without it, as it then is."""
        request = tracker.request
        if request.prefix is None or MARK_NAMED not in failure.message.lower():
            return False
        self._refused.add(_kind(request))
        tracker.request = request.unmarked()
        return True


def _kind(request: Request) -> tuple[str, str]:
    return request.endpoint.path, request.model
