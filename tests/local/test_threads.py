import subprocess
import sys
import threading

import pytest

from pxt_assets.local.threads import SHORT_TURN, DaemonThreadPool, short_turns


def test_what_was_submitted_is_done():
    """Results come as futures, errors too, SystemExit among them."""

    def leave():
        raise SystemExit(3)

    threads = DaemonThreadPool(2)
    assert [f.result(10) for f in [threads.submit(pow, 2, n) for n in range(20)]] == [2**n for n in range(20)]
    with pytest.raises(SystemExit):
        threads.submit(leave).result(10)
    assert threads.submit(int, "7", base=8).result(10) == 7
    threads.shutdown()


def test_at_most_so_many_run_at_once():
    """What comes while all threads are busy waits for one of them."""
    threads, busy, free = DaemonThreadPool(2), threading.Barrier(3), threading.Event()

    def occupy():
        busy.wait(10)
        return free.wait(10)

    occupied = [threads.submit(occupy) for _ in range(2)]
    busy.wait(10)
    waiting = threads.submit(threading.get_ident)
    assert not waiting.running()
    free.set()
    assert all(f.result(10) for f in occupied)
    assert waiting.result(10) != threading.get_ident()
    threads.shutdown()


def test_a_thread_that_is_free_is_used_again():
    """One after the other needs one thread."""
    threads = DaemonThreadPool(8)
    seen = set()
    for _ in range(20):
        seen.add(threads.submit(threading.get_ident).result(10))
        threads._idle.acquire(timeout=10)
        threads._idle.release()
    assert len(seen) == 1
    threads.shutdown()


def test_what_has_not_begun_can_be_cancelled():
    """Shutting down with `cancel_futures` leaves what runs to run, and the rest undone."""
    threads, began, free = DaemonThreadPool(1), threading.Event(), threading.Event()

    def occupy():
        began.set()
        return free.wait(10)

    running, waiting = threads.submit(occupy), threads.submit(int)
    began.wait(10)
    threads.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    free.set()
    assert running.result(10)
    threads.shutdown()


def test_one_that_hangs_does_not_keep_the_program():
    """The program ends though a function never does."""
    program = (
        "import threading\n"
        "from pxt_assets.local.threads import DaemonThreadPool\n"
        "began = threading.Event()\n"
        "def hang():\n"
        "    began.set()\n"
        "    threading.Event().wait()\n"
        "DaemonThreadPool(1).submit(hang)\n"
        "began.wait()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_turns_are_short_until_the_last_block_ends():
    """Overlapping blocks leave the turns short; what was usual before is restored, a shorter one kept."""
    usual = sys.getswitchinterval()
    first, second = short_turns(), short_turns()
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(SHORT_TURN, abs=2e-6)
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(SHORT_TURN, abs=2e-6)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(usual, abs=2e-6)


def test_a_turn_that_is_shorter_already_stays():
    """As somebody may have set it."""
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(SHORT_TURN / 2)
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(SHORT_TURN / 2, abs=2e-6)
    finally:
        sys.setswitchinterval(usual)
