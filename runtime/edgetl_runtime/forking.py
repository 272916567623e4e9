"""What has threads of its own, in a forked process, which inherits the memory of its parent and no thread.

An engine that is destroyed there waits for threads that do not exist: some crash, others hang. A lock that
another thread held at the fork is held for ever. Knows nothing about engines.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

Thing = TypeVar("Thing")


class PerProcess(Generic[Thing]):
    """A thing that is made anew in each process that was forked from the one that it was made in."""

    def __init__(self, thing: Thing, make: Callable[[], Thing]) -> None:
        self._thing: Thing | None = thing
        self._make = make
        self._process = os.getpid()
        self._lock = Lock()
        on_fork(self, PerProcess._keep_inherited)

    def get(self) -> Thing | None:
        """Return the thing of this process, or None once it was let go."""
        return self._thing if os.getpid() == self._process else self._renewed()

    def let_go(self) -> None:
        """Forget the thing; it goes with its last user."""
        self._thing, self._process = None, os.getpid()

    def _renewed(self) -> Thing | None:
        with self._lock:
            if os.getpid() != self._process:
                self._thing = None if self._thing is None else self._make()
                self._process = os.getpid()
            return self._thing

    def _keep_inherited(self) -> None:
        """Leak what was inherited, so that its destructor never runs here, not even as the process ends."""
        self._lock = Lock()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._thing))


def on_fork(one: Thing, act: Callable[[Thing], object]) -> None:
    """Call `act` on an object in every process that is forked from now on, as long as the object lives.

    No other thread runs there yet: it is the moment to replace locks.
    """
    _acts()[one] = act


@cache
def _acts() -> "WeakKeyDictionary[Any, Callable[[Any], object]]":  # each act takes what it is kept for
    acts: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()

    def act_on_all() -> None:
        for one, act in list(acts.items()):
            act(one)

    if hasattr(os, "register_at_fork"):  # Windows has no fork.
        os.register_at_fork(after_in_child=act_on_all)
    return acts
