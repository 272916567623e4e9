"""The rungs of the int8 ladder, as a table: each makes an int8 file, cheap ones first.

The classifier stays in float on every rung. Quantizing it too is no rung: it turned a detector of defects
into a coin toss, with either quantizer, and saves half a percent of the time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edgetl_exporters.candidate import Candidate, Climb, features, measured, quantized
from edgetl_exporters.graph import with_head
from edgetl_exporters.to_int8 import Plan
from edgetl_runtime.manifest import Head as HeadKind

Make = Callable[[Climb, Sequence[Candidate], Path], Plan]


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to make int8.

    make: writes a file, seeing the candidates before it, and returns how. starts_from: the rung whose file it
    changes; empty where it starts from the float model.
    """

    name: str
    make: Make
    head: HeadKind = "float"
    starts_from: str = ""

    def possible(self, givens: Climb, candidates: Sequence[Candidate]) -> bool:
        """Tell whether what it starts from is there, and somebody who solves heads."""
        there = any(one.rung == self.starts_from for one in candidates)
        return not self.starts_from or (there and givens.solve_head is not None)


def climb_rung(rung: Rung, givens: Climb, candidates: Sequence[Candidate]) -> Candidate:
    """Make a rung's file and measure it on the choosing pictures."""
    givens.watcher.phase(f"int8: {rung.name}")
    file = givens.folder / f"rung-{len(candidates)}.onnx"
    plan = rung.make(givens, candidates, file)
    return measured(givens, rung.name, rung.head, plan, file)


def plain(plan: Plan) -> Make:
    """Return what quantizes as planned, with the bits that were asked for."""

    def make(givens: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        chosen = replace(plan, bits=givens.bits)
        quantized(givens, givens.source, chosen, out)
        return chosen

    return make


def solved_again(name: str, start: str) -> Rung:
    """Return what solves the head again on another rung's int8 features: it learns to read int8."""

    def make(givens: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
        assert givens.solve_head is not None
        found = next(one for one in candidates if one.rung == start)
        model, data = onnx.load(found.file), givens.data
        train, choose = features(givens, model, data.train.pixels, data.choose.pixels)
        weight, bias = givens.solve_head(train, data.train.targets, choose, data.choose.targets)
        onnx.save(with_head(model, weight, bias), out)
        return found.plan

    return Rung(name, make, "resolved", start)


# In the order of their price. benchmarks/rungs.py shows a network for each that it is the first to save.
RUNGS: tuple[Rung, ...] = (
    Rung("onnxruntime", plain(Plan("onnxruntime"))),
    solved_again("head solved again", "onnxruntime"),
    Rung("nncf", plain(Plan("nncf"))),
    solved_again("nncf, head solved again", "nncf"),
)
