"""The rungs of the int8 ladder, as a table: each makes an int8 file, cheap ones first.

The classifier stays in float on every rung. Quantizing it too is no rung: it turned a detector of defects
into a coin toss, with either quantizer, and saves half a percent of the time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edgetl_exporters.blocks import blocks
from edgetl_exporters.candidate import Candidate, Climb, features, measured, quantized, without
from edgetl_exporters.graph import with_head
from edgetl_exporters.sources import write_graph
from edgetl_exporters.to_int8 import Plan
from edgetl_runtime.manifest import Head as HeadKind

# More blocks would make the search for those that matter longer than a fine-tuning.
_MOST_BLOCKS = 16
# The steps of a 7-bit grid that is not known exactly.
_HALF = 63
# Of the blocks; a network that needs more of itself in float is not an int8 network.
_FLOAT_SHARE = 0.25

Make = Callable[[Climb, Sequence[Candidate], Path], Plan]


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to make int8.

    make: writes a file, seeing the candidates before it, and returns how. starts_from_best: it changes the
    best of those candidates.
    """

    name: str
    make: Make
    head: HeadKind = "float"
    possible: Callable[[Climb], bool] = lambda givens: True
    starts_from_best: bool = False


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


def resolved(givens: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
    """Solve the head again on the int8 features of the best file so far: it learns to read int8."""
    assert givens.solve_head is not None
    best = min(candidates, key=lambda one: one.preference)
    model, data = onnx.load(best.file), givens.data
    found = features(givens, model, data.train.pixels, data.choose.pixels)
    weight, bias = givens.solve_head(found[0], data.train.targets, found[1], data.choose.targets)
    onnx.save(with_head(model, weight, bias), out)
    return best.plan


def _sensitive(givens: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
    """Leave those blocks in float that lower the loss on the choosing pictures most, one by one."""
    plan = Plan("onnxruntime", givens.bits)
    found = blocks(onnx.load(givens.source), _MOST_BLOCKS)
    alone = [_trial(givens, without(plan, block), out) for block in found]
    order = sorted(range(len(found)), key=lambda n: alone[n].preference)
    best, kept = alone[order[0]], found[order[0]]
    for place in order[1 : max(1, int(_FLOAT_SHARE * len(found)))]:
        if best.comparison.passes:
            break
        wider = _trial(givens, without(plan, kept + found[place]), out)
        if wider.preference < best.preference:
            best, kept = wider, kept + found[place]
    quantized(givens, givens.source, best.plan, out)
    return best.plan


def _has_parts(givens: Climb) -> bool:
    """Tell whether a block can stay in float and leave another one for int8."""
    return len(blocks(onnx.load(givens.source), _MOST_BLOCKS)) > 1


def _trial(givens: Climb, plan: Plan, out: Path) -> Candidate:
    quantized(givens, givens.source, plan, out)
    return measured(givens, "trial", "float", plan, out)


def _tuned(givens: Climb, candidates: Sequence[Candidate], out: Path) -> Plan:
    """Tune the module with its rounding, export it on the same path, quantize it as the best so far was."""
    assert givens.tune is not None
    best = min(candidates, key=lambda one: one.preference)
    plan, source = without(best.plan, ()), givens.folder / "tuned.onnx"
    write_graph(replace(givens.model, module=givens.tune(givens.data.train, plan.steps or _HALF)), source)
    quantized(givens, source, plan, out)
    return plan


# In the order of their price. Which quantizer does less harm differs from network to network.
RUNGS: tuple[Rung, ...] = (
    Rung("onnxruntime", plain(Plan("onnxruntime"))),
    Rung("nncf", plain(Plan("nncf"))),
    Rung(
        "head solved again",
        resolved,
        "resolved",
        lambda givens: givens.solve_head is not None,
        starts_from_best=True,
    ),
    Rung("accurate bias", plain(Plan("nncf", accurate_bias=True))),
    Rung("onnxruntime, trimmed ranges", plain(Plan("onnxruntime", ranges="trimmed"))),
    Rung("nncf, trimmed ranges", plain(Plan("nncf", ranges="trimmed", accurate_bias=True))),
    Rung("blocks in float", _sensitive, possible=_has_parts),
    Rung(
        "tuned with its rounding",
        _tuned,
        "tuned",
        lambda givens: givens.tune is not None,
        starts_from_best=True,
    ),
)
