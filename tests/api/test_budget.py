"""What a budget admits, alone and before the client, on a virtual clock."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from pxt_assets.api.answer import Answer
from pxt_assets.api.budget import Budget, BudgetReachedError
from pxt_assets.api.client import Client
from pxt_assets.api.cost_bound import CostBound
from pxt_assets.api.meter import Meter
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage
from pxt_assets.errors import CellError, RunError
from pxt_assets.functions import chat_completions
from pxt_assets.throttle import Pool
from tests.virtual_time import run

MODEL = "gpt-4o-mini"
SOLD_BY_NOBODY = "a-model-nobody-sells"
ASKED = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")
USED = Usage(10, 5)
PAID = 10 * 0.15e-6 + 5 * 0.60e-6
"""What an answer of `USED` tokens costs."""


def chat(text: str = "Hi", model: str = MODEL) -> Request:
    return chat_completions.cell_request(
        {"messages": [{"role": "user", "content": text}], "model": model, "model_kwargs": {"max_tokens": 500}}
    )


def most(request: Request) -> float:
    """What a request may cost as long as nothing was answered."""
    cost = CostBound().most_usd(request)
    assert cost is not None
    return cost


def admitted(budget: Budget, *requests: Request) -> list[bool]:
    """Which of the requests are admitted at once."""

    async def main() -> list[bool]:
        waiting = [asyncio.create_task(budget.reserve(request)) for request in requests]
        await asyncio.sleep(1)
        done = [one.done() and one.exception() is None for one in waiting]
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return done

    return run(main())


def answer(budget: Budget, request: Request) -> None:
    budget.charge(request, USED, cost_usd(MODEL, USED))
    budget.release(request)


def test_requests_are_admitted_as_long_as_all_in_flight_fit() -> None:
    """What requests in flight may cost counts as if it were spent."""
    requests = [chat(str(i)) for i in range(5)]
    assert admitted(Budget(2.5 * most(requests[0])), *requests) == [True, True, False, False, False]


def test_one_request_is_admitted_that_may_cost_more_than_is_left() -> None:
    """A budget below the most that a request may cost sends one after the other."""
    assert admitted(Budget(0.1 * most(chat("1"))), chat("1"), chat("2")) == [True, False]


def test_an_answer_that_was_cheaper_makes_room() -> None:
    """What was set aside is given back when the answer is there, and only its price is spent."""
    first, second = chat("1"), chat("2")
    budget = Budget(most(first))
    assert admitted(budget, first, second) == [True, False]
    answer(budget, first)
    assert budget.spent_usd == pytest.approx(PAID)
    assert admitted(budget, second) == [True]


def test_a_request_that_was_never_answered_costs_nothing() -> None:
    """A request that ended without an answer and surely without a bill gives back all that was set aside."""
    first = chat("1")
    budget = Budget(most(first))
    admitted(budget, first)
    budget.release(first)
    assert budget.spent_usd == 0
    assert admitted(budget, chat("2")) == [True]


def test_a_lost_answer_is_counted_as_the_most_it_can_cost() -> None:
    """As long as no answer is known, a lost one may have cost all that was set aside."""
    first = chat("1")
    budget = Budget(most(first))
    admitted(budget, first)
    budget.charge_lost_answer(first)
    assert budget.spent_usd == pytest.approx(most(first))
    assert admitted(budget, chat("2")) == [False]


def test_a_lost_answer_is_counted_as_the_dearest_that_is_known() -> None:
    """A server that drops connections does not use up the budget with what no answer costs."""
    budget = Budget(1)
    answer(budget, chat("1"))
    budget.charge_lost_answer(chat("2"))
    assert budget.spent_usd == pytest.approx(2 * PAID)


def test_waiting_ends_with_the_figures_when_the_money_is_spent() -> None:
    """With nothing in flight and the budget spent there is nothing to wait for: the error has both sums."""
    budget = Budget(PAID)
    answer(budget, chat("1"))
    with pytest.raises(BudgetReachedError, match=r"^The budget of \$0\.0000045 is spent$"):
        run(budget.reserve(chat("2")))


def test_all_who_wait_are_told_when_the_money_is_spent() -> None:
    """None of those who wait for the last request in flight is left waiting."""
    first = chat("1")
    budget = Budget(PAID)

    async def main() -> list[Any]:
        await budget.reserve(first)
        waiting = [asyncio.create_task(budget.reserve(chat(str(i)))) for i in range(5)]
        await asyncio.sleep(1)
        answer(budget, first)
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(end) for end in run(main())] == [BudgetReachedError] * 5


@pytest.mark.parametrize("is_admitted", [False, True])
def test_one_who_gave_up_waiting_keeps_nobody_from_going_on(*, is_admitted: bool) -> None:
    """A wait that was cancelled, even in the moment of its end, does not use up the room that is made."""
    first = chat("1")
    budget = Budget(most(first))

    async def main() -> None:
        await budget.reserve(first)
        gone, stays = (asyncio.create_task(budget.reserve(chat(text))) for text in "23")
        await asyncio.sleep(1)
        if is_admitted:
            answer(budget, first)
        gone.cancel()
        if not is_admitted:
            answer(budget, first)
        await stays

    run(main())


def test_a_model_without_a_price_is_refused_before_it_is_sent() -> None:
    """No request of an unknown price is admitted; the error names the model and what to do."""
    with pytest.raises(
        RunError, match=f"no price is known of what '{SOLD_BY_NOBODY}'.*leave max_cost_usd out"
    ):
        run(Budget(1).reserve(chat(model=SOLD_BY_NOBODY)))


def test_after_an_answer_of_unknown_price_nothing_is_sent() -> None:
    """Once nobody knows what was spent, waiting ends with an error, however much the budget allows."""
    budget = Budget(1)
    budget.charge(chat("1"), None, None)
    with pytest.raises(RunError, match="no price is known"):
        run(budget.reserve(chat("2")))


class FakeTransport:
    """Stands for the API: takes 1 s, does what `rule` says of the request, and answers otherwise."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self, rule: Callable[[str], None] = lambda _: None, **body: Any) -> None:
        self.rule = rule
        self.body = {
            "choices": [{"message": {"content": "Hello"}}],
            "usage": {"prompt_tokens": USED.input_tokens, "completion_tokens": USED.output_tokens},
            **body,
        }
        self.headers: dict[str, str] = {}
        self.sent: list[str] = []

    async def post(self, request: Request) -> httpx2.Response:
        text = request.body["messages"][0]["content"]
        self.sent.append(text)
        await asyncio.sleep(1)
        self.rule(text)
        return httpx2.Response(200, content=json.dumps(self.body), headers=self.headers, request=ASKED)


def refuse(status: int, message: str = "no") -> None:
    response = httpx2.Response(status, request=ASKED)
    raise openai.APIStatusError("no", response=response, body={"message": message})


def send_all(
    transport: FakeTransport, texts: list[str], max_cost_usd: float, **options: Any
) -> tuple[list[Any], Budget]:
    """Answers and errors of requests that are sent at once, and what is left of the budget."""
    budget = Budget(max_cost_usd)
    meter = Meter(budget=budget)

    async def main() -> list[Any]:
        pool = Pool()
        client = Client(
            transport,  # type: ignore[arg-type]
            lambda _: pool,
            **{
                "max_in_flight": 100,
                "max_retries": 3,
                "timeout": 60.0,
                "outage_timeout": 300.0,
                "rng": random.Random(0),
                **options,
            },
        )
        return await asyncio.gather(*(client.send(chat(t), meter) for t in texts), return_exceptions=True)

    return run(main()), budget


def test_many_requests_at_once_stay_within_the_budget() -> None:
    """However many wait, those that are sent cost no more than the budget and what is in flight at its end."""
    texts = [str(i) for i in range(200)]
    ends, budget = send_all(FakeTransport(), texts, 100 * PAID)
    answered = sum(isinstance(end, Answer) for end in ends)
    assert answered + sum(isinstance(end, BudgetReachedError) for end in ends) == 200
    assert budget.spent_usd == pytest.approx(answered * PAID)
    assert 100 <= answered <= 101


def test_a_request_that_cannot_be_sent_hands_its_place_on() -> None:
    """A request that is as large as one that was refused leaves the money, and the turn, to those behind it."""

    def rule(text: str) -> None:
        if len(text) > 10_000:
            refuse(429, "Request too large")

    transport = FakeTransport(rule)
    transport.headers = {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "900",
        "x-ratelimit-reset-tokens": "6s",
    }
    large = "large" * 10_000
    ends, _ = send_all(
        transport, ["first", large, f"{large}r", "last"], 10 * most(chat(large)), max_in_flight=1
    )
    assert [type(end) for end in ends] == [Answer, CellError, CellError, Answer]
    assert transport.sent == ["first", large, "last"]


def test_retries_are_paid_from_the_budget() -> None:
    """A request that is retried after lost answers has spent what each of them may have cost."""
    lost = iter([True, True])

    def rule(_: str) -> None:
        if next(lost, False):
            raise ConnectionResetError

    ends, budget = send_all(FakeTransport(rule), ["1"], 1)
    assert isinstance(ends[0], Answer)
    assert budget.spent_usd == pytest.approx(2 * most(chat("1")) + PAID)


def test_a_refusal_costs_nothing() -> None:
    """Requests that the API refuses, or fails at, are not charged."""
    ends, budget = send_all(FakeTransport(lambda text: refuse(400 if text == "1" else 500)), ["1"], 1)
    assert isinstance(ends[0], CellError)
    assert budget.spent_usd == 0


def test_lost_answers_end_a_run_that_has_only_them() -> None:
    """A server that loses every answer is not asked for more than the budget allows."""
    transport = FakeTransport(lambda _: (_ for _ in ()).throw(ConnectionResetError()))
    one = most(chat("0"))
    ends, budget = send_all(transport, [str(i) for i in range(10)], 3.5 * one, max_retries=50)
    assert {type(end) for end in ends} == {BudgetReachedError}
    assert len(transport.sent) == 4
    assert budget.spent_usd == pytest.approx(4 * one)


def test_an_answer_whose_price_is_unknown_is_returned() -> None:
    """What was paid for at a price that nobody knows is an answer all the same; those behind it are not sent."""
    transport = FakeTransport(model=SOLD_BY_NOBODY)
    ends, _ = send_all(transport, ["1", "2", "3"], 2.5 * most(chat("1")))
    assert [type(end) for end in ends[:2]] == [Answer, Answer]
    assert type(ends[2]) is RunError
    assert transport.sent == ["1", "2"]
