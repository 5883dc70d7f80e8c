"""The answers of POST /v1/responses that later requests may continue: in memory, and where other processes find them."""

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Protocol

from pxt_assets.simulator.prompt.conversation import Conversation

MAX_CHARACTERS = 64 * 1024 * 1024
"""Beyond this, the oldest answers are dropped. It holds some 100,000 answers to short questions."""

_OVERHEAD = 500
"""Characters that an answer counts beyond its texts."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What a later request needs to continue an answer, or to refer to its output item."""

    conversation: Conversation
    """The conversation with the answer, and without the instructions, which are not continued."""
    item_id: str
    """The id of the output item."""
    call_id: str | None
    """The id of the call, if the output item is one."""
    call_ids: frozenset[str]
    """Ids of the earlier calls in the conversation; all of them have outputs."""

    @property
    def all_call_ids(self) -> frozenset[str]:
        """Ids of all calls in the conversation, this one included."""
        return self.call_ids if self.call_id is None else self.call_ids | {self.call_id}

    @property
    def characters(self) -> int:
        """About the memory that it takes, in characters."""
        texts = (self.conversation.question, *self.conversation.attachments, *self.call_ids)
        return _OVERHEAD + sum(map(len, texts))


class SharedTexts(Protocol):
    """Texts by name that several processes share."""

    def keep(self, name: str, text: str) -> None:
        """Store a text."""

    def find(self, name: str) -> str | None:
        """The text of that name; None if it was dropped, or never stored."""


class StoredResponses:
    """The stored answers of all API keys; those of other processes too, if there are `shared` texts."""

    def __init__(self, max_characters: int = MAX_CHARACTERS, shared: SharedTexts | None = None) -> None:
        self._max_characters = max_characters
        self._shared = shared
        self._responses: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._characters = 0

    def for_key(self, key: str) -> "ResponsesOfKey":
        """The stored answers of one API key."""
        return ResponsesOfKey(self, key)

    def store(self, name: tuple[str, str], response: StoredResponse) -> None:
        """Store an answer under its key and id; it replaces one of the same name."""
        if self._shared is not None:
            self._shared.keep(_shared_name(name), json.dumps(asdict(response), default=sorted))
        self._evict(name)
        self._responses[name] = response
        self._characters += response.characters
        while self._characters > self._max_characters:
            self._evict(next(iter(self._responses)))

    def find(self, name: tuple[str, str]) -> StoredResponse | None:
        """The answer of that key and id; None if it was dropped, was not stored, or never was."""
        found = self._responses.get(name)
        if found is not None or self._shared is None:
            return found
        text = self._shared.find(_shared_name(name))
        return None if text is None else _read(text)

    def _evict(self, name: tuple[str, str]) -> None:
        old = self._responses.pop(name, None)
        if old is not None:
            self._characters -= old.characters


@dataclass(frozen=True, slots=True)
class ResponsesOfKey:
    """The stored answers of one API key."""

    _all: StoredResponses
    _key: str

    def store(self, response_id: str, response: StoredResponse) -> None:
        """Store an answer under its id."""
        self._all.store((self._key, response_id), response)

    def find(self, response_id: str) -> StoredResponse | None:
        """The answer of that id, if this key has it."""
        return self._all.find((self._key, response_id))

    def find_item(self, item_id: str) -> StoredResponse | None:
        """The answer that contains the output item of that id."""
        response = self.find(f"sim-resp-{item_id.rpartition('-')[2]}")
        return response if response is not None and response.item_id == item_id else None


def _shared_name(name: tuple[str, str]) -> str:
    """The name of an answer, without its key."""
    key, response_id = name
    return f"{blake2b(key.encode(), digest_size=8).hexdigest()} {response_id}"


def _read(text: str) -> StoredResponse:
    stored = json.loads(text)
    conversation = stored.pop("conversation")
    attachments = tuple(conversation.pop("attachments"))
    return StoredResponse(
        Conversation(**conversation, attachments=attachments),
        item_id=stored["item_id"],
        call_id=stored["call_id"],
        call_ids=frozenset(stored["call_ids"]),
    )
