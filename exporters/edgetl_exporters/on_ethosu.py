"""int8 for Arm's Ethos-U: compiled by Vela, whole on the NPU, and held against the float model.

The compiled file cannot run here. What is judged is the file before it was compiled, by TensorFlow Lite
Micro's reference kernels, on verifying pictures; a candidate is tried on the CPU first, as its QDQ file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from edgetl_exporters.calibration import part
from edgetl_exporters.candidate import Candidate, Climb
from edgetl_exporters.elsewhere import Elsewhere, ElsewhereClimb, judged_elsewhere
from edgetl_exporters.embedded import HEAD, REFERENCE, Embedded, write_head
from edgetl_exporters.ethosu_tools import KERNELS, VELA, require_tools, vela
from edgetl_exporters.graph import read_head
from edgetl_exporters.integer_graph import IntegerGraph
from edgetl_exporters.ladder import rows
from edgetl_exporters.lowering import lowered
from edgetl_exporters.rungs import Rung, climb_rung, plain, solved_again
from edgetl_exporters.to_ethosu import quantizer
from edgetl_exporters.to_int8 import Plan, QuantizerError
from edgetl_exporters.to_tflite import to_tflite
from edgetl_exporters.variants import VariantName
from edgetl_exporters.vela import Accelerator, compile_for
from edgetl_runtime.errors import ContractError
from edgetl_runtime.integer_core import IntegerCore, Port

# Each in the system that Vela describes for it: memories of some speed, weights in flash or DRAM.
ACCELERATORS: Mapping[VariantName, Accelerator] = {
    "ethos-u55-128-int8": Accelerator("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u55-256-int8": Accelerator("ethos-u55-256", "Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65-256-int8": Accelerator("ethos-u65-256", "Ethos_U65_High_End", "Dedicated_Sram"),
    "ethos-u85-256-int8": Accelerator("ethos-u85-256", "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram"),
}

# More tell more; reference kernels take a third of a second for EfficientNet-Lite0 at 224 pixels.
_PICTURES = 200
_RUNGS = (
    Rung("ethos-u", plain(Plan("onnxruntime"))),
    solved_again("ethos-u, head solved again", "ethos-u"),
)


def require_compiler(wanted: Sequence[VariantName]) -> None:
    """Refuse variants for an Ethos-U where they cannot be compiled, before any work is done for them.

    Raises:
        EngineError: with the command that makes the tools.
    """
    for name in wanted:
        if name in ACCELERATORS:
            require_tools(name)


def climb_ethosu(
    givens: Climb, wanted: Sequence[VariantName]
) -> tuple[ElsewhereClimb, Mapping[VariantName, Embedded]]:
    """Climb until a candidate is whole on all wanted NPUs, and keeps the contract by the reference kernels.

    Returns:
        What became of the rungs, and the files of the candidate that was taken, by variant.

    Raises:
        ContractError: the network cannot be quantized, or has operators that an NPU does not run.
    """
    place = givens.folder / "ethos-u"
    place.mkdir()
    model = givens.model
    own = replace(givens, folder=place, quantize=quantizer(model.mean, model.std))
    candidates: list[Candidate] = []
    outcomes: dict[str, tuple[bool, str]] = {}
    for rung in _RUNGS:
        if not rung.possible(own, candidates):
            continue
        try:
            candidate = climb_rung(rung, own, candidates)
        except QuantizerError as error:
            raise ContractError(f"There is no int8 of this network for an Ethos-U: {error}.") from error
        candidates.append(candidate)
        if not candidate.comparison.passes:
            continue
        embedded = _embedded(own, candidate, wanted, place / candidate.file.stem)
        found = _on_kernels(own, candidate, next(iter(embedded.values())), looks=len(outcomes) + 1)
        outcomes[rung.name] = found.comparison.passes, "; ".join(found.comparison.against) or "taken"
        if found.comparison.passes:
            return ElsewhereClimb(rows(own, candidates, outcomes), found), embedded
    return ElsewhereClimb(rows(own, candidates, outcomes), None), {}


def _on_kernels(givens: Climb, candidate: Candidate, embedded: Embedded, *, looks: int) -> Elsewhere:
    """Judge a candidate on verifying pictures by the kernels; the same file is compiled for all NPUs."""
    givens.watcher.phase(f"int8: verify {candidate.rung} by the reference kernels")
    verify = part(givens.data.verify, givens.limit, _PICTURES)
    logits = embedded.logits(verify[1].pixels)
    told = f"reference kernels of {KERNELS}: not yet run on hardware"
    return judged_elsewhere(givens, candidate, verify, logits, measured_on=told, p50_ms=None, looks=looks)


def _embedded(
    givens: Climb, candidate: Candidate, wanted: Sequence[VariantName], place: Path
) -> dict[VariantName, Embedded]:
    """Write a candidate as .tflite, and compile it."""
    quantized, model = onnx.load(candidate.file), givens.model
    graph = lowered(quantized, model.mean, model.std)
    reference, head = place / Path(REFERENCE).name, place / Path(HEAD).name
    place.mkdir()
    reference.write_bytes(to_tflite(graph, model.name))
    write_head(*read_head(quantized), head)
    found = {}
    for name in wanted:
        accelerator = ACCELERATORS[name]
        givens.watcher.phase(f"int8: compile {candidate.rung} for {accelerator.name}")
        compiled, core = _compiled(reference, graph, accelerator, place / accelerator.name)
        found[name] = Embedded(compiled, reference, head, candidate.file, core)
    return found


def _compiled(
    reference: Path, graph: IntegerGraph, accelerator: Accelerator, out: Path
) -> tuple[Path, IntegerCore]:
    compiled, summary = compile_for(vela, reference, accelerator, out)
    core = IntegerCore(
        reference=REFERENCE,
        head=HEAD,
        input=_port(graph, graph.input),
        output=_port(graph, graph.output),
        accelerator=accelerator.name,
        system=accelerator.system,
        memory_mode=accelerator.memory_mode,
        compiler=VELA,
        operators=summary.npu_operators + summary.cpu_operators,
        npu_operators=summary.npu_operators,
        sram_kib=summary.sram_kib,
        dram_kib=summary.dram_kib,
        flash_kib=summary.flash_kib,
        clock_hz=summary.clock_hz,
        cycles_estimate=summary.cycles,
    )
    return compiled, core


def _port(graph: IntegerGraph, name: str) -> Port:
    tensor = graph.tensors[name]
    return Port(tensor.shape, tensor.scales[0], tensor.zero_point)
