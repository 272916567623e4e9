"""The integer core of a variant that is embedded in firmware: what an accelerator runs, and what follows.

Nothing of it runs in Python: a manifest declares it, for whoever writes the firmware.
"""

import math
import re
from dataclasses import dataclass, fields
from typing import Any

from edgetl_runtime.errors import BundleError
from edgetl_runtime.strict_json import JSON, Fields, brief

_MOST_SIDES, _LONGEST = 4, 2**20
_TEXT = re.compile(r"[A-Za-z0-9._ -]{1,100}")


@dataclass(frozen=True, slots=True)
class Port:
    """What goes into the core or comes out of it: int8; q stands for scale · (q - zero_point)."""

    shape: tuple[int, ...]
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        good = 1 <= len(self.shape) <= _MOST_SIDES and all(1 <= side <= _LONGEST for side in self.shape)
        _require(good, f"Port.shape must be 1 to {_MOST_SIDES} numbers of 1 to {_LONGEST:,}", self.shape)
        _require(0 < self.scale < math.inf, "Port.scale must be a number above 0", self.scale)
        _require(-128 <= self.zero_point <= 127, "Port.zero_point must be -128 to 127", self.zero_point)


@dataclass(frozen=True, slots=True)
class IntegerCore:
    """The part of a network that an accelerator for integers runs.

    reference: the file before it was compiled, which reference kernels run. head: float32
    (classes, width + 1) in NumPy's format: the linear layer that follows in float, its bias last. input:
    pixels less 128. output: features. accelerator, system, memory_mode, compiler: what it was compiled for,
    and by what. operators: how many there are, and how many of them are on the NPU, which are all. sram_kib,
    dram_kib, flash_kib and cycles_estimate: the compiler's estimates for one picture at clock_hz; no device
    was timed.
    """

    reference: str
    head: str
    input: Port
    output: Port
    accelerator: str
    system: str
    memory_mode: str
    compiler: str
    operators: int
    npu_operators: int
    sram_kib: float
    dram_kib: float
    flash_kib: float
    clock_hz: float
    cycles_estimate: int

    def __post_init__(self) -> None:
        for name in ("accelerator", "system", "memory_mode", "compiler"):
            good = _TEXT.fullmatch(getattr(self, name))
            _require(
                good,
                f"IntegerCore.{name} must be 1 to 100 letters, digits, spaces and '._-'",
                getattr(self, name),
            )
        whole = 1 <= self.operators == self.npu_operators
        told = f"{self.npu_operators} of {self.operators}"
        _require(whole, "IntegerCore.npu_operators must be all of its operators, at least one", told)
        for name in ("sram_kib", "dram_kib", "flash_kib", "clock_hz", "cycles_estimate"):
            number = getattr(self, name)
            _require(0 <= number < math.inf, f"IntegerCore.{name} must be a number, at least 0", number)


def read_core(where: str, value: JSON) -> IntegerCore | None:
    """Read what `manifest.json` says of a core; null is none."""
    if value is None:
        return None
    f = Fields(value, where, [field.name for field in fields(IntegerCore)], BundleError)
    texts = ("reference", "head", "accelerator", "system", "memory_mode", "compiler")
    numbers = ("sram_kib", "dram_kib", "flash_kib", "clock_hz")
    whole = ("operators", "npu_operators", "cycles_estimate")
    told: dict[str, Any] = {name: f.text(name) for name in texts}
    told |= {name: f.number(name) for name in numbers} | {name: f.integer(name) for name in whole}
    told |= {name: _port(f"{where}.{name}", f.value(name)) for name in ("input", "output")}
    return IntegerCore(**told)


def _port(where: str, value: JSON) -> Port:
    f = Fields(value, where, [field.name for field in fields(Port)], BundleError)
    shape = f.numbers("shape")
    _require(all(side.is_integer() for side in shape), f"{where}.shape must be whole numbers", shape)
    return Port(tuple(map(int, shape)), f.number("scale"), f.integer("zero_point"))


def _require(good: object, rule: str, got: object) -> None:
    if not good:
        raise BundleError(f"{rule}, got {brief(got)}.")
