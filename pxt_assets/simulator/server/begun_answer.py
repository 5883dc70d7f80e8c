"""Answers that are broken off."""

from starlette.types import Send

from pxt_assets.simulator.server.limits import Headers

_DROPPED_LENGTH = 65536


async def begin_answer(send: Send, headers: Headers) -> None:
    """Send the first bytes of an answer that announces more."""
    start = [*headers, (b"content-length", b"%d" % _DROPPED_LENGTH)]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": b'{"id":"sim-', "more_body": True})
