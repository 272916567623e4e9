"""What must happen in a forked process, which inherits the memory of its parent and none of its threads.

An engine that is destroyed there waits for threads that do not exist: some crash, others hang. A lock that
another thread held at the fork is held for ever. Knows nothing about engines.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Inherited = TypeVar("Inherited")


def on_fork(one: Inherited, act: Callable[[Inherited], object]) -> None:
    """Call `act` on an object in every process that is forked from now on, as long as the object lives.

    No other thread runs there yet: it is the moment to replace locks, and to keep what must not be destroyed.
    """
    _acts()[one] = act


def never_destroy(one: object) -> None:
    """Leak an object: its destructor never runs in this process, not even at its end."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


@cache
def _acts() -> "WeakKeyDictionary[Any, Callable[[Any], object]]":  # each act takes what it is kept for
    acts: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()

    def act_on_all() -> None:
        for one, act in list(acts.items()):
            act(one)

    if hasattr(os, "register_at_fork"):  # Windows has no fork.
        os.register_at_fork(after_in_child=act_on_all)
    return acts
