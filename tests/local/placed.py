"""Functions that run in worker processes; `folder` is where they tell what they did."""

import functools
import os
import signal
import threading
import time
import uuid
from enum import Enum
from pathlib import Path

import numpy as np
import PIL.Image
from pydantic import BaseModel

from pxt_assets import udf


class Size(Enum):
    SHORT = "short"
    LONG = "long"


class Parts(BaseModel):
    words: int
    size: Size


class OddError(Exception):
    """It can neither be copied to another process nor say anything."""

    def __init__(self) -> None:
        self.hold = threading.Lock()

    def __str__(self) -> str:
        raise ValueError


def tell(folder: str, text: str) -> None:
    """Leaves a file that says what happened, and in which process."""
    Path(folder, f"{os.getpid()}-{uuid.uuid4().hex}").write_text(text)


def told(folder: Path) -> list[tuple[int, str]]:
    """What was told, as (process id, text)."""
    return [(int(file.name.partition("-")[0]), file.read_text()) for file in folder.iterdir()]


@functools.cache
def model(folder: str) -> int:
    tell(folder, "loaded")
    return 2


@udf(batch_size=2, on="processes", workers=2)
def doubled(numbers: list[int], folder: str) -> list[int]:
    tell(folder, f"batch {numbers[0]}")
    return [number * model(folder) for number in numbers]


@udf(batch_size=4, on="processes", workers=1)
def parts(texts: list[str]) -> list[Parts]:
    return [Parts(words=len(text.split()), size=Size.LONG if len(text) > 5 else Size.SHORT) for text in texts]


@udf(batch_size=4, on="processes", workers=1)
def vectors(texts: list[str]) -> list[np.ndarray]:
    return [np.asarray([len(text), 0.5], np.float32) for text in texts]


@udf(on="processes", workers=1)
def turned(image: PIL.Image.Image) -> PIL.Image.Image:
    return image.transpose(PIL.Image.Transpose.ROTATE_90)


@udf(on="processes", workers=1)
def size(text: str) -> Size | None:
    return None if not text else Size.LONG if len(text) > 5 else Size.SHORT


@udf(batch_size=4, on="processes", workers=1)
def failing(texts: list[str]) -> list[str]:
    if "odd" in texts:
        raise OddError
    if "exit" in texts:
        raise SystemExit(3)
    return [text.upper() for text in texts]


@udf(batch_size=2, on="processes", workers=1)
def dying(texts: list[str], folder: str) -> list[str]:
    """A text that begins with "once" kills its process the first time, "always" each time."""
    for text in texts:
        tell(folder, text)
        if text.startswith("always"):
            os._exit(3)
        if text.startswith("once") and sum(told == text for _, told in told_in(folder)) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return [text.upper() for text in texts]


def told_in(folder: str) -> list[tuple[int, str]]:
    return told(Path(folder))


@udf(batch_size=1, on="processes", workers=2)
def endless(texts: list[str], folder: str) -> list[str]:
    tell(folder, "began")
    while True:
        time.sleep(0.05)


@udf(batch_size=4)
def in_threads(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


def made(suffix: str):
    @udf(batch_size=4, on="processes", workers=1)
    def closing(texts: list[str]) -> list[str]:
        return [text + suffix for text in texts]

    return closing


with_bang = made("!")
with_dot = made(".")
