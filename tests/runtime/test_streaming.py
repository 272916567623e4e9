"""Many items through one function: in order, bounded, and never later than they must be."""

import threading
from time import sleep

import pytest

from edgetl_runtime.streaming import in_order


def test_an_answer_is_not_kept_back_until_the_window_is_full():
    """A camera is slower than its answers: each is given as soon as the next picture was taken."""
    taken, answered = [], threading.Event()

    def camera():
        for number in range(5):
            taken.append(number)
            yield number
            assert answered.wait(10)
            answered.clear()
            sleep(0.05)  # The answer is on its way to the stream.

    def answer(part):
        answered.set()
        return part

    for found in in_order(camera(), answer, batch=1, ahead=100):
        assert len(taken) <= found + 2
    assert found == 4


@pytest.mark.parametrize(("batch", "ahead", "most"), [(1, 1, 1), (1, 3, 3), (4, 1, 4), (4, 5, 8)])
def test_while_answers_take_long_the_window_is_filled_and_no_more(batch, ahead, most):
    taken, go = [], threading.Event()

    def items():
        for number in range(20):
            taken.append(number)
            if len(taken) == most:
                threading.Timer(0.1, go.set).start()  # More would be taken by then.
            yield number

    def answer(part):
        assert go.wait(10)
        return part

    found = in_order(items(), answer, batch=batch, ahead=ahead)
    assert taken == []
    assert next(found) == 0
    assert len(taken) == most
    for number in found:
        assert len(taken) <= number + max(most, batch)
    assert number == 19
