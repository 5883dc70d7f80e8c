import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pxt_assets.compute.asking import shared_answers as answers_module
from pxt_assets.compute.asking.shared_answers import SharedAnswers
from pxt_assets.errors import CellError
from pxt_assets.storage.provenance import Provenance

PAID = Provenance("req-1", "m", 10, 5, 0, 10.0, 0.01, 0.5, 1)


@dataclass(frozen=True)
class Asked:
    digest: bytes


def together(
    names: Sequence[bytes], outcome: Any = "value", answers: SharedAnswers | None = None
) -> tuple[list[Any], int]:
    """What each call of those names gives, all at once, and how often anything was sent."""
    sent = 0

    async def ask(_: Any) -> Any:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome, PAID

    async def all_of_them() -> list[Any]:
        shared = answers or SharedAnswers()
        return await asyncio.gather(
            *(shared.get_or_ask(Asked(name), ask) for name in names), return_exceptions=True
        )

    return asyncio.run(all_of_them()), sent


def test_equal_calls_are_made_once():
    """In flight, too; whoever comes second is not said to have paid."""
    got, sent = together([b"a", b"b", b"a"])
    assert sent == 2
    assert got == [("value", PAID), ("value", PAID), ("value", Provenance())]


def test_an_error_is_told_to_all_who_wait():
    """It is each one's own."""
    got, sent = together([b"a", b"a"], CellError("BadRequestError", "no", "req-7"))
    assert sent == 1
    assert [(e.errortype, e.message, e.request_id) for e in got] == [
        ("BadRequestError", "no (request req-7)", "req-7")
    ] * 2


def test_an_error_is_not_remembered():
    """The next row that asks the same tries again."""
    answers = SharedAnswers()

    async def ask(_: Any) -> Any:
        raise CellError("BadRequestError", "no")

    async def fine(_: Any) -> Any:
        return "value", PAID

    async def one_after_the_other() -> Any:
        with pytest.raises(CellError):
            await answers.get_or_ask(Asked(b"a"), ask)
        return await answers.get_or_ask(Asked(b"a"), fine)

    assert asyncio.run(one_after_the_other()) == ("value", PAID)


def test_what_ends_the_run_ends_those_who_wait():
    """They are cancelled; the one who asked tells why."""
    got, _ = together([b"a", b"a"], RuntimeError("a fault of the program"))
    assert isinstance(got[0], RuntimeError)
    assert isinstance(got[1], asyncio.CancelledError)


def test_old_answers_are_forgotten(monkeypatch):
    """Memory does not grow with the rows."""
    monkeypatch.setattr(answers_module, "ANSWERS_KEPT", 3)
    answers = SharedAnswers()

    async def ask(_: Any) -> Any:
        return "value", PAID

    async def many() -> None:
        for i in range(50):
            await answers.get_or_ask(Asked(bytes([i])), ask)

    asyncio.run(many())
    assert len(answers._known) == 3
