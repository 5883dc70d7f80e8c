"""Which answers' headers are read."""

from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.sampling import READ_AT_FIRST, SPACING_SECONDS, Sampling

PLENTY = {"requests": Reading(1_000, 900), "tokens": Reading(80_000, 79_000)}


def sampling() -> Sampling:
    """One that has seen enough answers to leave some unread."""
    made = Sampling()
    for _ in range(READ_AT_FIRST + 1):
        made.note(PLENTY, 0.0, changed=False)
    return made


def test_the_first_answers_are_all_read() -> None:
    made = Sampling()
    for _ in range(READ_AT_FIRST):
        made.note(PLENTY, 0.0, changed=False)
        assert made.wants_reading(0.0)


def test_where_units_are_plenty_one_is_read_now_and_then() -> None:
    made = sampling()
    assert not made.wants_reading(SPACING_SECONDS * 0.9)
    assert made.wants_reading(SPACING_SECONDS)


def test_where_one_limit_is_half_used_all_are_read() -> None:
    made = sampling()
    made.note({**PLENTY, "tokens": Reading(80_000, 39_000)}, 1.0, changed=False)
    assert made.wants_reading(1.0)


def test_a_new_limit_has_all_read() -> None:
    made = sampling()
    made.note(PLENTY, 1.0, changed=True)
    made.note(PLENTY, 1.0, changed=False)
    assert made.wants_reading(1.0)


def test_answers_that_report_nothing_change_nothing() -> None:
    made = sampling()
    made.note({}, 1.0, changed=False)
    assert made.wants_reading(1.0)
