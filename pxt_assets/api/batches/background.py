"""Responses that are made in the background: fetched, cancelled and deleted by their ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pxt_assets.api.answer_headers import relevant_headers
from pxt_assets.api.batches.calls import Calls, NotFoundError, RefusedError, UnreadableAnswerError
from pxt_assets.api.batches.line_in import LineAnswer
from pxt_assets.api.batches.protocols import BackgroundState, UnknownResponseError
from pxt_assets.values.json_text import loads_answer

if TYPE_CHECKING:
    import openai


class OfficialBackground:
    """A BackgroundApi by `calls`. `get` fetches a path below the base URL the quickest way."""

    def __init__(self, calls: Calls, get: Callable[[str], Awaitable[Any]]) -> None:
        self._calls, self._get = calls, get

    async def fetch(self, response_id: str) -> BackgroundState:
        """As BackgroundApi says."""
        path = _path(response_id)
        return await self._state(
            f"tell of the response {response_id}", response_id, lambda _: self._get(path)
        )

    async def cancel(self, response_id: str) -> BackgroundState:
        """As BackgroundApi says."""
        import httpx2

        path = f"{_path(response_id)}/cancel"
        try:
            return await self._state(
                f"cancel the response {response_id}",
                response_id,
                lambda client: client.post(path, cast_to=httpx2.Response),
            )
        except RefusedError:  # mostly since it has ended
            state = await self.fetch(response_id)
            if state.is_ended:
                return state
            raise

    async def delete(self, response_id: str) -> None:
        """As BackgroundApi says."""
        import httpx2

        async def delete(client: openai.AsyncOpenAI) -> None:
            await client.delete(_path(response_id), cast_to=httpx2.Response)

        try:
            await self._calls.run(f"delete the response {response_id}", delete)
        except NotFoundError:
            return

    async def _state(
        self, what: str, response_id: str, send: Callable[[openai.AsyncOpenAI], Awaitable[Any]]
    ) -> BackgroundState:
        async def attempt(client: openai.AsyncOpenAI) -> BackgroundState:
            response = await send(client)
            body: bytes = response.content
            try:
                said = loads_answer(body)
                status = str(said["status"])
            except (ValueError, KeyError, TypeError) as e:
                msg = f"the answer is no response: {body[:200].decode(errors='replace')}"
                raise UnreadableAnswerError(msg) from e
            headers = relevant_headers(response.headers, self._calls.secrets)
            answer = LineAnswer(response_id, response.status_code, body, headers.get("x-request-id"))
            return BackgroundState(response_id, status.lower(), answer)

        try:
            return await self._calls.run(what, attempt)
        except NotFoundError as e:
            raise UnknownResponseError(str(e)) from e


def _path(response_id: str) -> str:
    return f"/responses/{quote(response_id, safe='')}"
