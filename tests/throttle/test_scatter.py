"""How rejections lie among the requests that were let in."""

import random

import pytest

from pxt_assets.throttle.guessed_rate import Grants
from pxt_assets.throttle.scatter import Scatter


def scatter_of(rejected: list[bool]) -> Scatter:
    """The scatter of requests granted one after another, told in any order."""
    grants = Grants()
    scatter = Scatter(grants)
    times = [(grants.add(float(number)), is_rejected) for number, is_rejected in enumerate(rejected)]
    late = [at for at, is_rejected in times if is_rejected]
    random.Random(1).shuffle(late)
    for at in late:
        grants.remove(at)
    for at in sorted(late)[-60:]:
        scatter.add(at)
    return scatter


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("seed", range(20))
def test_rejections_by_chance_look_like_chance(share, seed):
    """Only a run of them that chance would hardly bring is none."""
    source = random.Random(seed)
    scatter = scatter_of([source.random() < share for _ in range(3_000)])
    run = scatter.run_beyond_chance()
    assert run == 0 or share**run < 1e-5
    assert scatter.share == pytest.approx(share, rel=0.5)


@pytest.mark.parametrize("seed", range(20))
def test_nearly_all_chance_is_known_as_such(seed):
    """Of a quarter that is rejected by chance at least eleven runs in twelve are needed to look like a limit."""
    source = random.Random(seed)
    known = [
        scatter_of([source.random() < 0.25 for _ in range(400)]).run_beyond_chance() >= 10 for _ in range(24)
    ]
    assert sum(known) >= 22


def test_rejections_one_after_another_are_a_limit():
    """Where ten are let in and ten are not, no run of them is explained by chance."""
    assert scatter_of(([False] * 10 + [True] * 10) * 8).run_beyond_chance() == 0


def test_more_than_half_are_no_chance():
    """Two thirds rejected are not taken for chance, however scattered."""
    source = random.Random(1)
    assert scatter_of([source.random() < 0.66 for _ in range(400)]).run_beyond_chance() == 0


def test_a_few_tell_nothing():
    """Eight rejections are too few."""
    scatter = scatter_of([True, False] * 8)
    assert scatter.share == 0
    assert scatter.run_beyond_chance() == 0
