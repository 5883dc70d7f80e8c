"""By how much a budget is exceeded, and how many requests it lets go side by side: simulated on a virtual clock."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets.api.budget import FIRST_REQUESTS, Budget, BudgetReachedError
from pxt_assets.api.cost_bound import CostBound
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Request, Usage
from pxt_assets.functions import chat_completions
from tests.virtual_time import run

MODEL = "gpt-4o"
LONGEST = 16_384
"""The longest answer of the model."""
Lengths = Callable[[random.Random, int], float]
"""The output tokens of the i-th answer."""

LENGTHS: dict[str, Lengths] = {
    "long": lambda _rng, _i: 10_000,
    "short": lambda _rng, _i: 10,
    "log-normal": lambda rng, _i: rng.lognormvariate(5, 1.5),
    "one of fifty is a hundred times as long": lambda rng, _i: 15_000 if rng.random() < 0.02 else 150,
    "one of three hundred is the longest": lambda rng, _i: LONGEST if rng.random() < 1 / 300 else 20,
}
CHANGING: dict[str, Lengths] = {
    "short, then long": lambda _rng, i: 10 if i < 300 else 10_000,
    "ever longer": lambda _rng, i: 20 * i,
}


def chat(i: int, **limits: Any) -> Request:
    return chat_completions.cell_request(
        {"messages": [{"role": "user", "content": f"row {i}"}], "model": MODEL, "model_kwargs": limits}
    )


def spend(
    max_cost_usd: float,
    lengths: Lengths,
    seed: int,
    rows: int = 700,
    in_flight: int = 300,
    *,
    obeyed: bool = True,
    **limits: Any,
) -> tuple[float, int, float]:
    """Dollars spent, requests answered, and the seconds that they took; `obeyed` says whether answers keep to `limits`."""
    rng = random.Random(seed)
    budget = Budget(max_cost_usd)
    slots = asyncio.Semaphore(in_flight)
    answered = 0

    async def ask(i: int) -> None:
        nonlocal answered
        request = chat(i, **limits)
        async with slots:
            await budget.reserve(request)
            await asyncio.sleep(rng.lognormvariate(0, 0.5))
            usage = Usage(
                10, round(min(lengths(rng, i), limits.get("max_tokens", LONGEST) if obeyed else LONGEST))
            )
            budget.charge(request, usage, cost_usd(MODEL, usage))
            budget.release(request)
            answered += 1

    async def main() -> float:
        ended = await asyncio.gather(*map(ask, range(rows)), return_exceptions=True)
        assert {type(one) for one in ended} <= {type(None), BudgetReachedError}
        return asyncio.get_running_loop().time()

    seconds = run(main())
    return budget.spent_usd, answered, seconds


@pytest.mark.parametrize("lengths", LENGTHS | CHANGING)
@pytest.mark.parametrize("max_cost_usd", [0.001, 0.5])
def test_a_budget_is_exceeded_by_one_request_at_most_where_answers_are_limited(
    max_cost_usd: float, lengths: str
) -> None:
    """Whatever answers came before: with `max_tokens` nothing in flight costs more than was set aside."""
    most = CostBound().most_usd(chat(0, max_tokens=16_000))
    assert most is not None
    for seed in range(2):
        spent, _, _ = spend(max_cost_usd, (LENGTHS | CHANGING)[lengths], seed, max_tokens=16_000)
        assert spent <= max_cost_usd + most


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("max_cost_usd", [0.05, 0.5])
def test_a_budget_is_exceeded_by_one_request_at_most_while_answers_stay_alike(
    max_cost_usd: float, lengths: str
) -> None:
    """Without a limit of its own a request is set aside by what is known of answers, and of how many."""
    most = CostBound().most_usd(chat(0))
    assert most is not None
    for seed in range(4):
        spent, _, _ = spend(max_cost_usd, LENGTHS[lengths], seed)
        assert spent <= max_cost_usd + most


def test_a_server_that_ignores_the_limit_is_found_out_by_its_first_answers() -> None:
    """Sixteen requests go before one is answered; what they cost at most is all that is lost."""
    each = cost_usd(MODEL, Usage(10, 12_000))
    assert each is not None
    spent, _, _ = spend(1.0, lambda _rng, _i: 12_000, 0, obeyed=False, max_tokens=100)
    assert spent <= 1.0 + FIRST_REQUESTS * each


def test_a_budget_is_spent() -> None:
    """Something is left only where nothing is to be done any more."""
    for lengths in LENGTHS.values():
        spent, answered, _ = spend(0.3, lengths, 0, max_tokens=16_000)
        assert spent >= 0.3 or answered == 700


def test_a_budget_that_is_far_away_slows_nothing_down() -> None:
    """With $100 all requests that may be in flight are, once the first is answered."""
    budgeted = [spend(100.0, LENGTHS["short"], seed)[2] for seed in range(2)]
    free = [spend(1e9, LENGTHS["short"], seed)[2] for seed in range(2)]
    assert sum(budgeted) <= 1.02 * sum(free)


def test_short_answers_let_more_go_side_by_side() -> None:
    """A budget of ten times the cost lets five requests go at first, and soon all that may be in flight."""
    cost = 700 * (10 * 2.5e-6 + 10 * 1e-5)
    _, answered, seconds = spend(10 * cost, LENGTHS["short"], 0)
    assert answered == 700
    assert seconds < 25  # five at a time, it would be 160


def test_a_request_goes_whatever_the_budget_if_nothing_else_does() -> None:
    """What is left pays for one more."""
    spent, answered, _ = spend(1e-9, LENGTHS["short"], 0)
    assert answered == 1
    assert spent > 1e-9
