"""The pictures that answers point to by URL: kept for an hour, the newest ones, in memory."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from pxt_assets.simulator.endpoint.endpoint import OWN_URL, Upload

SECONDS = 60 * 60
"""How long the API serves a picture."""

MAX_BYTES = 64 * 1024 * 1024
"""Beyond this, the oldest pictures go early."""

PATH = "/simulator/files/"


@dataclass(frozen=True, slots=True)
class _Kept:
    file: Upload
    until: float


class PublishedFiles:
    """Files by name, in the order of their publication."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def publish(self, files: Iterable[Upload], now: float) -> None:
        """Serve `files` for an hour from `now`, in seconds; one of the same name is replaced."""
        for file in files:
            self._drop(file.filename)
            self._kept[file.filename] = _Kept(file, now + SECONDS)
            self._bytes += len(file.content)
        while self._kept:
            name, oldest = next(iter(self._kept.items()))
            if self._bytes <= MAX_BYTES and oldest.until > now:
                break
            self._drop(name)

    def find(self, name: str, now: float) -> Upload | None:
        """The file of that name; None for one that has expired, made room, or never was."""
        kept = self._kept.get(name)
        return kept.file if kept is not None and kept.until > now else None

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= len(kept.file.content)


def url_of(filename: str) -> str:
    """The URL of a published file in the body of an `Answer`."""
    return f"{OWN_URL}{PATH}{filename}"
