"""A machine whose clock only moves when it works, under load that a test chooses."""

import math
from dataclasses import replace

import numpy as np

from edgetl_runtime.pacing import Pace, Timing
from edgetl_runtime.performance import Performance

REFERENCE_S = 0.002


class VirtualMachine:
    """Does what it is told to spend, slower while it is loaded.

    busy: the share of the time in which other work slows it down by `factor`, for `length_s` on average.
    stalls: how often a second it stops for `stall_s`. jitter: the deviation of every time's logarithm.
    """

    def __init__(self, seed=0, *, busy=0.0, factor=3.0, length_s=0.05, stalls=0.0, stall_s=0.1, jitter=0.03):
        self.now = 0.0
        self.timing = Timing(lambda: self.now, lambda: self.spend(REFERENCE_S))
        self._rng, self._load, self._jitter = np.random.default_rng(seed), (busy, factor, length_s), jitter
        self._stalls, self._stall_s = stalls, stall_s
        self._factor, self._until = 1.0, 0.0

    def spend(self, seconds):
        """Work for so many seconds of an idle machine."""
        left = seconds * math.exp(self._jitter * self._rng.normal())
        self.now += self._stall_s * self._rng.poisson(self._stalls * left)
        busy, factor, length_s = self._load
        while left > 1e-12:
            if self.now >= self._until:
                self._factor = factor if self._rng.random() < busy else 1.0
                self._until = self.now + self._rng.exponential(length_s) + 1e-9
            taken = min(left * self._factor, self._until - self.now)
            self.now += taken
            left -= taken / self._factor


def paced(machine, pictures, picture_ms):
    """Answer pictures of different sizes, always the same ones, and return how it went."""
    sizes = np.random.default_rng(3).uniform(0.5, 1.5, pictures)
    with Pace(pictures, 1, machine.timing) as pace:
        for done, size in enumerate(sizes, start=1):
            begun = machine.now
            machine.spend(size * picture_ms / 1000)
            pace.picture(done, 1000 * (machine.now - begun))
    return Performance(reference_ms=pace.reference_ms(), threads=1, blocks=tuple(pace.blocks))


def timed(receipt, machine, *, pictures=400, picture_ms=10.0):
    """Return a receipt with what validating took on this machine."""
    return replace(receipt, performance=paced(machine, pictures, picture_ms))
