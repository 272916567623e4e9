"""The variants that an export can write, as a table, and their measured facts on the way into a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgetl_exporters.contract import Comparison
from edgetl_exporters.embedded import Embedded
from edgetl_exporters.facts import calibration_error, contract_facts, rejecting_facts
from edgetl_exporters.measure import Judged, agreeing
from edgetl_exporters.model import Floats
from edgetl_exporters.rejecting import Rejecting
from edgetl_exporters.report import VariantRow
from edgetl_runtime.errors import InputError
from edgetl_runtime.manifest import MAX_TOLERANCE, EngineName, Execution, Manifest, Precision, Variant
from edgetl_runtime.manifest import Head as HeadKind
from edgetl_runtime.statistics import wilson

VariantName = Literal[
    "openvino-int8",
    "onnx-int8",
    "openvino-fp16",
    "openvino-fp32",
    "openvino-bf16",
    "onnx-fp32",
    "onnx-fp16",
    "openvino-npu-int8",
    "openvino-npu-fp16",
    "qnn-int8",
    "ethos-u55-128-int8",
    "ethos-u55-256-int8",
    "ethos-u65-256-int8",
    "ethos-u85-256-int8",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What all variants of a name have in common.

    stem: of its files. floor: the least tolerance, as a share of the range of the float model's logits.
    execution: what it computes in where nothing is quantized. elsewhere: it is for a device that is not here,
    so that this machine's CPU stands in for it when it is measured. device: the only one that may run it.
    """

    engine: EngineName
    precision: Precision
    stem: str
    floor: float
    execution: Execution = "f32"
    elsewhere: bool = False
    device: str | None = None

    @property
    def rounds(self) -> bool:
        """Whether it computes more coarsely than float32 without being quantized, and may miss the limit."""
        return self.precision != "int8" and self.execution != "f32" and not self.elsewhere


# In order of preference on a device: fastest first, but for those that not every processor can run, since
# whoever names none gets the first whose engine is installed.
KINDS: Mapping[VariantName, Kind] = {
    "openvino-int8": Kind("openvino", "int8", "model.int8", 0.02),
    "onnx-int8": Kind("onnxruntime", "int8", "model.int8", 0.02),
    "openvino-fp16": Kind("openvino", "fp16", "model.fp16", 0.002),
    "openvino-fp32": Kind("openvino", "fp32", "model.fp32", 0.001),
    "onnx-fp32": Kind("onnxruntime", "fp32", "model", 0.001),
    "onnx-fp16": Kind("onnxruntime", "fp16", "model.fp16", 0.02, "f16"),
    "openvino-bf16": Kind("openvino", "fp16", "model.fp16", 0.02, "bf16"),
    "openvino-npu-int8": Kind("openvino", "int8", "model.int8", 0.02, "f16", elsewhere=True),
    "openvino-npu-fp16": Kind("openvino", "fp16", "model.fp16", 0.02, "f16", elsewhere=True),
    "qnn-int8": Kind("onnxruntime", "int8", "model.qnn", 0.02, device="qnn"),
    "ethos-u55-128-int8": Kind("ethos-u", "int8", "model.ethos-u55-128", 0.02, device="ethos-u"),
    "ethos-u55-256-int8": Kind("ethos-u", "int8", "model.ethos-u55-256", 0.02, device="ethos-u"),
    "ethos-u65-256-int8": Kind("ethos-u", "int8", "model.ethos-u65-256", 0.02, device="ethos-u"),
    "ethos-u85-256-int8": Kind("ethos-u", "int8", "model.ethos-u85-256", 0.02, device="ethos-u"),
}
DEFAULT: tuple[VariantName, ...] = ("openvino-int8", "onnx-int8", "openvino-fp16", "onnx-fp32")

_MARGIN = 4.0
_STAND_IN = "a CPU as stand-in: not yet run on hardware"


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A variant's saved file, measured on the verifying pictures.

    p50_ms: of a batch; None where the CPU or a simulator stood in for its device. judged, reference: its
    answers and those of the float model. sha256: of the verifying pictures' files, or empty. rejecting: its
    threshold of confidence, where one is wanted. batch: how many pictures its file takes, None for any
    number. rungs: what the manifest says of the int8 ladder; None for a float variant. slower_here: int8 that
    is not faster than float on this machine. embedded: what a variant for firmware has of its own.
    """

    name: VariantName
    file: Path
    head: HeadKind
    temperature: float
    p50_ms: float | None
    judged: Judged
    reference: Judged
    comparison: Comparison
    sha256: tuple[str, ...]
    rejecting: Rejecting | None = None
    batch: int | None = None
    rungs: dict[str, Any] | None = None
    slower_here: bool = False
    embedded: Embedded | None = None

    def sources(self) -> dict[str, Path]:
        """Return where its files lie, by their paths in the bundle; an IR has its weights beside it."""
        if self.embedded is not None:
            return self.embedded.sources(KINDS[self.name].stem)
        files = [self.file] if self.file.suffix == ".onnx" else [self.file, self.file.with_suffix(".bin")]
        return {f"models/{KINDS[self.name].stem}{file.suffix}": file for file in files}

    def variant(self, tolerance: float) -> Variant:
        """Return its entry in the manifest."""
        kind, paths = KINDS[self.name], tuple(self.sources())
        return Variant(
            name=self.name,
            engine=kind.engine,
            precision=kind.precision,
            execution=kind.execution,
            model=paths[0],
            files=paths,
            head=self.head,
            temperature=self.temperature,
            tolerance=tolerance,
            contract=self.contract(),
            reject_below=None if self.rejecting is None else self.rejecting.below,
            batch=self.batch,
            device=kind.device,
            core=None if self.embedded is None else self.embedded.core,
        )

    def contract(self) -> dict[str, Any]:
        """Return what was measured, as JSON."""
        facts = contract_facts(self.reference, self.judged, self.comparison, self.sha256)
        facts["measured_on"] = _STAND_IN if KINDS[self.name].elsewhere else "cpu"
        facts["rejecting"] = None if self.rejecting is None else rejecting_facts(self.rejecting)
        return facts | (self.rungs or {"rung": None})

    def row(self, manifest: Manifest) -> VariantRow:
        """Return its line in the report."""
        entry, same = manifest.variant(self.name), agreeing(self.reference, self.judged)
        return VariantRow(
            name=self.name,
            size_bytes=manifest.size_bytes(entry),
            n=self.comparison.n,
            accuracy=self.judged.accuracy,
            balanced_accuracy=self.judged.balanced_accuracy,
            drop=self.comparison.drop,
            drop_interval=self.comparison.interval,
            agreement=float(same.mean()),
            agreement_interval=wilson(int(same.sum()), len(same)),
            changed=int((~same).sum()),
            certified=self.comparison.certified,
            needs=self.comparison.needs,
            calibration_error=calibration_error(self.judged),
            rejecting=self.rejecting,
            p50_ms=self.p50_ms,
            elsewhere=KINDS[self.name].elsewhere,
            slower_here=self.slower_here,
            core=entry.core,
            tolerance=entry.tolerance,
        )


def ordered(names: Sequence[str]) -> tuple[VariantName, ...]:
    """Return the wanted variants in order of preference.

    Raises:
        InputError: one is unknown, or none is wanted.
    """
    known = get_args(VariantName)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(f"variants must be some of {', '.join(known)}, got {list(names)!r}.")
    return tuple(name for name in KINDS if name in names)


def wants_int8(names: Sequence[VariantName]) -> bool:
    """Tell whether an int8 is among these."""
    return any(KINDS[name].precision == "int8" for name in names)


def tolerance(name: VariantName, own: Floats, other: Floats, logits: Floats) -> float:
    """Return how far a device's logits may be from the reference: four times what two engines differ by.

    Both engines run the same network on the reference cases, on this machine; for fp16, the second one runs
    the fp32 weights, since a device may also compute in fp16. Another processor rounds in other places, which
    four times the difference allows for. Where the engines happen to agree there is a floor: a share of the
    range of the float model's logits on real pictures, `Kind.floor`. In any case it stays below half of what
    the cases differ by among themselves, or the proof would pass a device that mistakes one for another.

    Args:
        own, other: logits (cases, classes) of the variant's engine, which are the reference, and of the other
            engine. logits: of the float model on real pictures.
    """
    measured = float(np.abs(own - other).max())
    floor = KINDS[name].floor * float(np.ptp(logits))
    first, second = np.triu_indices(len(own), 1)
    apart = float(np.median(np.abs(own[first] - own[second]).max(axis=1)))
    wanted = min(max(_MARGIN * measured, floor), apart / 2, MAX_TOLERANCE)
    # To three digits, so that the manifest does not depend on the last bit.
    return float(f"{max(wanted, 1e-6):.3g}")
