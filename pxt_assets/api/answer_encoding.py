"""In which encoding answers are asked for: the best one first, others of servers that refuse it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pxt_assets.api.failure import Failure
from pxt_assets.api.input_refusal import speaks_of_input
from pxt_assets.api.request import Request
from pxt_assets.api.request_tracker import RequestTracker


class AnswerEncodings:
    """The encodings that servers take, of those that an endpoint has (`Endpoint.encodings`), learned from refusals.

    One whose refusal names the encoding is not asked for again. One that is refused without a reason while nothing of
    the model has been answered is tried once in the next encoding, which is kept if that is answered, or refused for
    what an input holds. What a refusal says of an input is no reason for another encoding.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], int] = {}
        """The number of the first encoding that may be asked for, by endpoint and model."""
        self._trials: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Done when the trial of an endpoint and model has ended."""

    def encoded(self, request: Request) -> Request:
        """The request in an encoding that the server takes, as far as is known."""
        now, first = _encoding(request), self._first.get(_key(request), 0)
        return request if now is None or now >= first else _in_encoding(request, first)

    async def change(self, tracker: RequestTracker, failure: Failure, *, answered: bool) -> bool:
        """Whether a refused request is to be sent again, in another encoding, in which it then is.

        `answered` says whether anything of the model was answered in this run. After a trial, which the tracker knows
        of, `trial_ended` must follow.
        """
        request = tracker.request
        now = _encoding(request)
        if now is None:
            return False
        if tracker.refused_before_trial is not None:
            if speaks_of_input(failure.message):  # the encoding was taken, something else was not
                self._first[_key(request)] = now
                tracker.refused_before_trial = failure
            return False
        key, following = _key(request), now + 1
        if key in self._trials:
            await asyncio.shield(self._trials[key])
        if self._first.get(key, 0) > now:
            tracker.request = self.encoded(request)
            return True
        if following == len(request.endpoint.encodings):
            return False
        if any(name in failure.message.lower() for name in _names(request)):
            self._first[key] = following
        elif answered or now > 0 or key in self._trials or speaks_of_input(failure.message):
            return False
        else:
            self._trials[key] = asyncio.get_running_loop().create_future()
            tracker.refused_before_trial = failure
        tracker.request = _in_encoding(request, following)
        return True

    def trial_ended(self, request: Request, *, answered: bool) -> None:
        """Ends the trial of the request's encoding, which is kept if it was answered."""
        key, now = _key(request), _encoding(request)
        if answered and now is not None:
            self._first[key] = max(now, self._first.get(key, 0))
        if not self._trials[key].done():
            self._trials[key].set_result(None)


def _key(request: Request) -> tuple[str, str]:
    return request.endpoint.path, request.model


def _names(request: Request) -> set[str]:
    """What a refusal of the first encoding would name: its arguments, or their values."""
    (first, *_) = request.endpoint.encodings
    return {*first, *(str(value) for value in first.values())}


def _encoding(request: Request) -> int | None:
    """The number of the request's encoding among those of its endpoint, None if it has another one."""
    encodings = request.endpoint.encodings
    names = {name for encoding in encodings for name in encoding}
    given = {name: request.body[name] for name in names if name in request.body}
    return next((i for i, encoding in enumerate(encodings) if dict(encoding) == given), None)


def _in_encoding(request: Request, number: int) -> Request:
    encodings = request.endpoint.encodings
    names = {name for encoding in encodings for name in encoding}
    rest = {name: value for name, value in request.body.items() if name not in names}
    return replace(request, body={**rest, **encodings[number]})
