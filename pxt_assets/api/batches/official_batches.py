"""Batches and their files, by the official client, which carries the key, the project, Azure's URLs, proxies and TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pxt_assets.api.batches.calls import (
    Calls,
    LostAnswerError,
    NotFoundError,
    RefusedError,
)
from pxt_assets.api.batches.file_lines import file_lines
from pxt_assets.api.batches.listing import all_pages, created_at
from pxt_assets.api.batches.protocols import UnknownBatchError
from pxt_assets.api.batches.state import BATCH_NAME, BatchState, state_of
from pxt_assets.errors import RunError

if TYPE_CHECKING:
    import httpx2
    import openai

_LOOKS_AFTER_SECONDS = (2.0, 5.0, 10.0, 15.0)
"""Pauses before the list is looked at for what may have been made though no answer came: lists lag behind."""
_BATCHES_A_PAGE = 100
_FILES_A_PAGE = 1_000
_UNREADY = frozenset({"pending", "running", "notrunning", "uploading", "processing"})
"""Words for a file of which no batch can be created yet, Azure's among them."""
_READY_SECONDS = 600.0
_READY_LOOK_SECONDS = 3.0
_AZURE_ENDPOINTS = {"/v1/chat/completions": "/chat/completions", "/v1/responses": "/chat/completions"}
"""What Azure calls endpoints, which looks at each line for which of the two it is. Source:
https://learn.microsoft.com/azure/foundry/openai/how-to/batch"""
_IDLE = frozenset({"failed", "expired", "cancelled", "canceled", "cancelling"})


class OfficialBatches:
    """A BatchApi by `calls`. `now` is this machine's clock, in seconds since 1970."""

    def __init__(self, calls: Calls, now: Callable[[], float]) -> None:
        self._calls, self._now = calls, now

    @property
    def is_azure(self) -> bool:
        """Whether lines must name endpoints as Azure does."""
        return self._calls.is_azure

    async def upload(self, path: Path, file_name: str) -> str:
        """As BatchApi says; the file is read from disk while it is sent.

        Where the answer is lost, a file of that name and size is taken for it.
        """
        size, began = path.stat().st_size, self._now()  # noqa: ASYNC240
        what, send = f"take the file {file_name}", partial(_send_file, path, file_name)

        async def look() -> object:
            found = [one for one in await self._files(file_name, began) if one.get("bytes") in (size, None)]
            return found[0] if found else None

        return await self._ready(await self._once(what, send, look))

    async def create(self, file_id: str, endpoint: str, name: str) -> BatchState:
        """As BatchApi says."""
        import httpx2

        began = self._now()
        body = {
            "input_file_id": file_id,
            "endpoint": _AZURE_ENDPOINTS.get(endpoint, endpoint) if self.is_azure else endpoint,
            "completion_window": "24h",
            "metadata": {BATCH_NAME: name},
        }
        said = await self._once(
            f"create the batch {name}",
            lambda client: client.post("/batches", body=body, cast_to=httpx2.Response),
            lambda: self.find(name, began, file_id),
        )
        return said if isinstance(said, BatchState) else self._state(said)

    async def retrieve(self, batch_id: str) -> BatchState:
        """As BatchApi says."""
        import httpx2

        try:
            said = await self._calls.json(
                f"tell of the batch {batch_id}",
                lambda client: client.get(f"/batches/{_quoted(batch_id)}", cast_to=httpx2.Response),
            )
        except NotFoundError as e:
            raise UnknownBatchError(str(e)) from e
        return self._state(said)

    async def find(self, name: str, since: float, file_id: str | None = None) -> BatchState | None:
        """As BatchApi says. One that is on its way or has finished something is preferred to one that has not."""
        found = [
            batch
            for batch in await self.list_batches(since)
            if batch.name == name
            or (batch.name is None and file_id is not None and batch.input_file_id == file_id)
        ]
        if not found:
            return None
        first = min(reversed(found), key=lambda batch: (_is_idle(batch), batch.created_at or 0.0))
        for other in found:
            if other.id != first.id and not other.is_ended and not other.is_cancelling:
                with suppress(UnknownBatchError):
                    await self.cancel(other.id)
        return first

    async def list_batches(self, since: float) -> list[BatchState]:
        """As BatchApi says."""
        states = []
        for one in await self._list("/batches", {"limit": _BATCHES_A_PAGE}, since):
            try:
                states.append(state_of(one, self._calls.secrets))
            except ValueError:  # another thing in the list
                continue
        return sorted(states, key=lambda batch: -(batch.created_at or 0.0))

    async def cancel(self, batch_id: str) -> BatchState:
        """As BatchApi says."""
        import httpx2

        async def cancel(client: openai.AsyncOpenAI) -> httpx2.Response:
            return await client.post(f"/batches/{_quoted(batch_id)}/cancel", cast_to=httpx2.Response)

        try:
            response = await self._calls.run(f"cancel the batch {batch_id}", cancel)
            return state_of(response.json(), self._calls.secrets)
        except ValueError:  # some servers answer it with nothing
            return await self.retrieve(batch_id)
        except NotFoundError as e:
            raise UnknownBatchError(str(e)) from e
        except RefusedError:  # mostly since it has ended
            state = await self.retrieve(batch_id)
            if state.is_ended or state.is_cancelling:
                return state
            raise

    def lines(self, file_id: str) -> AsyncIterator[list[bytes]]:
        """As BatchApi says."""
        return file_lines(self._calls, file_id)

    async def delete_file(self, file_id: str) -> None:
        """As BatchApi says."""
        import httpx2

        async def delete(client: openai.AsyncOpenAI) -> None:
            await client.delete(f"/files/{_quoted(file_id)}", cast_to=httpx2.Response)

        try:
            await self._calls.run(f"delete the file {file_id}", delete)
        except NotFoundError:
            return

    async def find_files(self, file_name: str, since: float = 0.0) -> list[str]:
        """As BatchApi says."""
        return [str(one["id"]) for one in await self._files(file_name, since)]

    async def _files(self, file_name: str, since: float) -> list[Mapping[str, Any]]:
        query = {"purpose": "batch", "limit": _FILES_A_PAGE, "order": "desc"}
        files = [one for one in await self._list("/files", query, since) if one.get("filename") == file_name]
        return sorted(files, key=lambda one: created_at(one) or 0.0)

    async def _list(self, path: str, query: Mapping[str, Any], since: float) -> list[Mapping[str, Any]]:
        import httpx2

        async def fetch(after: str | None) -> object:
            asked = dict(query) if after is None else {**query, "after": after}
            return await self._calls.json(
                f"list {path}",
                lambda client: client.get(path, options={"params": asked}, cast_to=httpx2.Response),
            )

        return await all_pages(fetch, since, int(query["limit"]))

    async def _once(self, what: str, send: Any, look: Callable[[], Any]) -> Any:
        """What is made by one call; after a lost answer what `look` finds, or it is made again and looked for again."""
        lost = 0
        while True:
            try:
                made = await self._calls.json(what, send, once=True)
                if lost:  # what was lost may be in the list by now, so that there are two
                    return await look() or made
                return made
            except LostAnswerError:
                for pause in _LOOKS_AFTER_SECONDS:
                    await self._calls.waiting.sleep(pause)
                    found = await look()
                    if found:
                        return found
                lost += 1
                if lost > self._calls.waiting.max_retries:
                    raise

    async def _ready(self, said: object) -> str:
        """The id of an uploaded file, once batches can be created of it."""
        import httpx2

        if not isinstance(said, Mapping) or not isinstance(said.get("id"), str) or not said["id"]:
            msg = f"the API at {self._calls.where} took a file, and gave no id for it"
            raise RunError(msg)
        file_id = str(said["id"])
        deadline = self._calls.waiting.clock() + _READY_SECONDS
        while isinstance(said, Mapping) and str(said.get("status")).lower() in _UNREADY:
            if self._calls.waiting.clock() > deadline:
                break  # creating the batch tells more
            await self._calls.waiting.sleep(_READY_LOOK_SECONDS)
            said = await self._calls.json(
                f"tell of the file {file_id}",
                lambda client: client.get(f"/files/{_quoted(file_id)}", cast_to=httpx2.Response),
            )
        return file_id

    def _state(self, said: object) -> BatchState:
        try:
            return state_of(said, self._calls.secrets)
        except ValueError as e:
            msg = f"the API at {self._calls.where} tells of a batch otherwise than documented: {e}"
            raise RunError(msg) from e


def _is_idle(batch: BatchState) -> bool:
    """Whether nothing has come of a batch, and nothing more will."""
    return batch.status in _IDLE and not batch.completed and batch.output_file_id is None


def _quoted(name: str) -> str:
    return quote(name, safe="")


async def _send_file(path: Path, file_name: str, client: openai.AsyncOpenAI) -> httpx2.Response:
    import httpx2

    with path.open("rb") as file:
        return await client.post(
            "/files",
            body={"purpose": "batch"},
            files=[("file", (file_name, file, "application/jsonl"))],
            options={"headers": {"Content-Type": "multipart/form-data"}},
            cast_to=httpx2.Response,
        )
