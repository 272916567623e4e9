"""A call that crashes or hangs in another process costs that call alone."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from benchmarks.child import CallError, Child


def do(what: str) -> str:
    if what == "raise":
        raise ValueError("not this one")
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(60)
    return f"{what} by {os.getpid()}"


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child(do, calls=3)
    made.call("first", seconds=60)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("what", "reason", "seconds"),
    [
        ("raise", "ValueError: not this one", 60),
        ("crash", "ended with code -11", 60),
        ("hang", "not done after 0.2 s", 0.2),
    ],
)
def test_a_failing_call_says_why_and_the_next_one_is_served(
    child: Child, what: str, reason: str, seconds: float
) -> None:
    with pytest.raises(CallError, match=reason):
        child.call(what, seconds=seconds)
    assert child.call("next", seconds=60).startswith("next by ")


def test_a_process_serves_as_many_calls_as_it_may_and_another_goes_on(child: Child) -> None:
    pids = [child.call("more", seconds=60).split()[-1] for _ in range(3)]
    assert pids[0] == pids[1] != pids[2]
