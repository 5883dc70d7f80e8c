"""The pictures that answers point to by URL, kept in memory for an hour, or until newer ones need the space."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from pxt_assets.simulator.endpoint.endpoint import ROOT_PLACEHOLDER, Upload

SECONDS = 60 * 60
"""How long the API serves a picture."""

MAX_BYTES = 64 * 1024 * 1024
"""Beyond this, the oldest pictures are dropped early."""

PATH = "/simulator/files/"


@dataclass(frozen=True, slots=True)
class _ServedFile:
    file: Upload
    served_until: float


class PublishedFiles:
    """Files by name, in the order of their publication."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, _ServedFile] = OrderedDict()
        self._bytes = 0

    def publish(self, files: Iterable[Upload], now: float) -> None:
        """Serve `files` for an hour from `now`, in seconds; one of the same name is replaced."""
        for file in files:
            self._drop(file.filename)
            self._files[file.filename] = _ServedFile(file, now + SECONDS)
            self._bytes += len(file.content)
        while self._files:
            name, oldest = next(iter(self._files.items()))
            if self._bytes <= MAX_BYTES and oldest.served_until > now:
                break
            self._drop(name)

    def find(self, name: str, now: float) -> Upload | None:
        """The file of that name; None if it has expired, was dropped, or never was published."""
        served = self._files.get(name)
        return served.file if served is not None and served.served_until > now else None

    def _drop(self, name: str) -> None:
        dropped = self._files.pop(name, None)
        if dropped is not None:
            self._bytes -= len(dropped.file.content)


def url_of(filename: str) -> str:
    """The URL of a published file in the body of an `Answer`."""
    return f"{ROOT_PLACEHOLDER}{PATH}{filename}"
