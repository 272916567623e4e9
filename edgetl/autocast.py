"""Whether bfloat16 pays in training this tail on this machine: tried, never assumed.

Processors without the instructions emulate them, and depthwise convolutions wait for memory either way.
"""

import time
from dataclasses import replace

import numpy as np
from torch import nn

from edgetl.tail import StepData
from edgetl.tuner import Tuner, Tuning

_STEPS = 20
_LEAST_GAIN = 1.15
# Of the mean loss over the trial; bf16 keeps three digits.
_TOLERANCE = 0.05


def bf16_pays(tail: nn.Sequential, data: StepData, tuning: Tuning) -> tuple[bool, str]:
    """Train 20 batches in either precision, by turns; returns the verdict, and in words what was seen."""
    tuners = {bf16: Tuner(tail, data, replace(tuning, bf16=bf16)) for bf16 in (False, True)}
    generators = {bf16: np.random.default_rng([tuning.seed, 2]) for bf16 in tuners}
    losses: dict[bool, list[float]] = {False: [], True: []}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    size = min(tuning.batch_size, len(data.targets))
    for step in range(_STEPS):
        for bf16, tuner in tuners.items():
            begun = time.monotonic()
            chosen = generators[bf16].choice(len(data.targets), size, replace=False)
            losses[bf16].append(tuner.learn(chosen, generators[bf16], 1.0, step))
            seconds[bf16].append(time.monotonic() - begun)
    return judge_bf16(
        float(np.median(seconds[False]) / np.median(seconds[True])),
        float(np.mean(losses[False])),
        float(np.mean(losses[True])),
    )


def judge_bf16(gain: float, exact: float, rounded: float) -> tuple[bool, str]:
    """Decide by the speed of bf16 over that of f32, and by the mean losses of the same batches."""
    agrees = abs(rounded - exact) <= _TOLERANCE * max(exact, 1e-3)
    pays = gain >= _LEAST_GAIN and agrees
    seen = f"{gain:.2f} times as fast as f32, loss {rounded:.4f} against {exact:.4f}"
    return pays, f"training in {'bf16' if pays else 'f32'}: bf16 is {seen}"
