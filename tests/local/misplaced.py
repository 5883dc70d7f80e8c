"""Functions whose worker processes fork, die with children, or return values of classes of their own."""

import multiprocessing
import os
import signal
import time

from pxt_assets import udf
from tests.local.placed import tell, told_in


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@udf(batch_size=2, on="processes", workers=1)
def forking(numbers: list[int], folder: str) -> list[int]:
    """The process that it forks returns from it too."""
    if numbers[0] == 0:
        os.fork()
    tell(folder, "computed")
    return [number * 10 for number in numbers]


@udf(on="processes", workers=1, version="1")
def dying_with_a_child(text: str, folder: str) -> str:
    """Is killed the first time, while a process that it forked lives."""
    if not told_in(folder):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        child.start()
        tell(folder, f"child {child.pid}")
        os.kill(os.getpid(), signal.SIGKILL)
    return text.upper()


@udf(on="processes", workers=1, version="1")
def leaving_a_child(text: str, folder: str) -> str:
    """Leaves a process behind that computes for ever."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    tell(folder, f"child {child.pid}")
    while text == "endless":
        time.sleep(0.05)
    return text.upper()


@udf(on="processes", workers=1)
def text_of(text: str) -> str:
    return Text(text)


@udf(on="processes", workers=1)
def number_of(text: str) -> int:
    return Number(len(text))


def lengths(texts: list[int]) -> list[int]:
    return [len(texts)] * len(texts)


of_rows = udf(batch_size=2, on="processes", workers=1)(lengths)
of_lists = udf(on="processes", workers=1)(lengths)
