"""The answers of POST /v1/responses that later requests may continue: what is needed of them, in memory."""

from collections import OrderedDict
from dataclasses import dataclass

from pxt_assets.simulator.prompt.conversation import Conversation

MAX_CHARACTERS = 64 * 1024 * 1024
"""Beyond this, the oldest answers are forgotten. It holds some 100,000 answers to short questions."""

_OVERHEAD = 500
"""What an answer counts beyond its texts."""


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """What a request needs that continues an answer, or refers to what was put out in it."""

    conversation: Conversation
    """Until and with the answer; without the instructions, which are not carried on."""
    item_id: str
    """The id of the item that was put out."""
    call_id: str | None
    """The id of the call that this item is, if it is one."""
    call_ids: frozenset[str]
    """Of the calls before it in the conversation; all of them were answered."""

    @property
    def all_call_ids(self) -> frozenset[str]:
        """Of the calls in the conversation, this one included."""
        return self.call_ids if self.call_id is None else self.call_ids | {self.call_id}

    @property
    def characters(self) -> int:
        """About what it takes to keep it."""
        texts = (self.conversation.question, *self.conversation.attachments, *self.call_ids)
        return _OVERHEAD + sum(map(len, texts))


class StoredResponses:
    """The answers of all keys; each key sees its own."""

    def __init__(self, most: int = MAX_CHARACTERS) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], KeptResponse] = OrderedDict()
        self._characters = 0

    def of(self, key: str) -> "KeptAnswers":
        """Those of an API key."""
        return KeptAnswers(self, key)

    def keep(self, name: tuple[str, str], response: KeptResponse) -> None:
        """Keep an answer under its key and id; one of the same name is replaced."""
        self._forget(name)
        self._kept[name] = response
        self._characters += response.characters
        while self._characters > self._most:
            self._forget(next(iter(self._kept)))

    def find(self, name: tuple[str, str]) -> KeptResponse | None:
        """The answer of that key and id; None for one that made room, was not stored, or never was."""
        return self._kept.get(name)

    def _forget(self, name: tuple[str, str]) -> None:
        old = self._kept.pop(name, None)
        if old is not None:
            self._characters -= old.characters


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """The stored answers of one API key."""

    _all: StoredResponses
    _key: str

    def keep(self, response_id: str, response: KeptResponse) -> None:
        """Keep an answer under its id."""
        self._all.keep((self._key, response_id), response)

    def find(self, response_id: str) -> KeptResponse | None:
        """The answer of that id, if this key has it."""
        return self._all.find((self._key, response_id))

    def find_item(self, item_id: str) -> KeptResponse | None:
        """The answer that put out the item of that id."""
        found = self.find(f"sim-resp-{item_id.rpartition('-')[2]}")
        return found if found is not None and found.item_id == item_id else None
