"""Combinations of hardware, software and bundle that are known to fail or to lie: one table.

A row is a predicate over facts, a sentence, the way out, and its sources: public reports, or where it was
measured. Knows nothing about how facts are found out: `surroundings` reads them and `examination` asks.
docs/runtime.md shows the table, and a test holds the page against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_GITHUB = "https://github.com/"
_MEASURED = "measured for edgetl, see docs/runtime.md"
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"})
_BF16 = frozenset({"avx512_bf16", "amx_bf16"})
# Distributions that bring the module `onnxruntime`: the one installed last has overwritten the others.
RUNTIMES = (
    *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm"),
    *("onnxruntime-migraphx", "onnxruntime-training"),
)
# All distributions that a row asks for.
DISTRIBUTIONS = (
    *RUNTIMES,
    *("onnxruntime-ep-openvino", "onnxruntime-qnn", "openvino", "edgetl", "edgetl-runtime"),
)

Accel = Literal["none", "closed", "open"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rows look at.

    x86: the processor's family. flags: its instruction sets; empty where the system does not tell. cores: how
    many this process may use. quota: how many of them a container's limit pays for; None without one.
    distributions: those of `DISTRIBUTIONS` that are installed. npu_compiler: OpenVINO's package has it.
    openvino_devices: what OpenVINO finds, lower case. accel: the nodes in /dev/accel: there are none, this
    user may open none, or one. device, threads: what is asked for. int8: there is an int8 variant in the
    bundle, or no bundle was named; eight_bits: one of them has weights of 8 bits, or does not tell.
    """

    x86: bool
    flags: frozenset[str]
    cores: int
    quota: float | None
    distributions: frozenset[str]
    npu_compiler: bool
    openvino_devices: frozenset[str]
    accel: Accel
    device: str = "auto"
    threads: int | None = None
    int8: bool = True
    eight_bits: bool = True

    @property
    def openvino(self) -> bool:
        """OpenVINO is installed."""
        return "openvino" in self.distributions

    @property
    def npu(self) -> bool:
        """OpenVINO finds an NPU."""
        return any(name.partition(".")[0] == "npu" for name in self.openvino_devices)

    @property
    def asks_for_npu(self) -> bool:
        """The device that is asked for is an NPU, or a list with one."""
        return "npu" in self.device.lower().replace(":", ",").replace(".", ",").split(",")

    @property
    def qnn(self) -> bool:
        """ONNX Runtime has Qualcomm's provider, or it is asked for."""
        return "onnxruntime-qnn" in self.distributions or self.device.lower() == "qnn"


@dataclass(frozen=True, slots=True)
class KnownBad:
    """One row.

    applies: whether the facts meet it. avoided: edgetl keeps clear of it by itself, so that it concerns other
    programs on this machine. sources: public reports, or where it was measured.
    """

    name: str
    applies: Callable[[Facts], bool]
    sentence: str
    remedy: str
    sources: tuple[str, ...]
    avoided: bool = False


def known_bad(facts: Facts) -> tuple[KnownBad, ...]:
    """Return the rows that these facts meet; those that need somebody to act come first."""
    met = [row for row in KNOWN_BAD if row.applies(facts)]
    return tuple(sorted(met, key=lambda row: row.avoided))


KNOWN_BAD: tuple[KnownBad, ...] = (
    KnownBad(
        "int8 without VNNI",
        lambda f: f.int8 and f.eight_bits and f.x86 and bool(f.flags) and not f.flags & _VNNI,
        "This x86 processor has no VNNI: sums of 8-bit products saturate, so an int8 file may lose accuracy "
        "here that it keeps elsewhere, and may be no faster than float.",
        "Export with --cpu any (weights of 7 bits), then run validate and check on this machine.",
        (
            f"{_GITHUB}microsoft/onnxruntime/issues/6004",
            f"{_GITHUB}microsoft/onnxruntime/issues/6695",
            f"{_GITHUB}microsoft/onnxruntime/issues/17389",
        ),
    ),
    KnownBad(
        "CPU quota below the threads",
        lambda f: f.quota is not None and (f.threads or f.cores) > f.quota,
        "A container's CPU quota is below the number of threads: engines count the cores that they see, and "
        "the kernel stops all of their threads for the rest of each period.",
        "Name as many threads as the quota has whole cores: --threads N, or threads=N in Session.open.",
        (
            f"{_GITHUB}openvinotoolkit/openvino/issues/37838",
            f"{_GITHUB}uxlfoundation/oneTBB/issues/190",
        ),
    ),
    KnownBad(
        "two ONNX Runtimes",
        lambda f: len(f.distributions.intersection(RUNTIMES)) > 1,
        "Two distributions of ONNX Runtime are installed in one environment; they share a folder, so that "
        "one has overwritten the other, whose devices are gone.",
        "Uninstall all of them (pip list shows onnxruntime...), then install the one that is wanted.",
        (f"{_GITHUB}microsoft/onnxruntime/issues/26996",),
    ),
    KnownBad(
        "edgetl and edgetl-runtime",
        lambda f: {"edgetl", "edgetl-runtime"} <= f.distributions,
        "edgetl and edgetl-runtime are installed in one environment; both bring edgetl_runtime, and the "
        "version that was installed last is used.",
        "Uninstall both, then install edgetl on a workstation or edgetl-runtime on a device.",
        ("docs/decisions/0001-two-distributions.md",),
    ),
    KnownBad(
        "/dev/accel closed",
        lambda f: f.accel == "closed",
        "There is an accelerator in /dev/accel, which this user may not open: OpenVINO does not list it.",
        "Add the user to the node's group (ls -l /dev/accel), as a rule by sudo usermod -aG render $USER, "
        "and log in again. A container needs the device passed to it as well.",
        (f"{_GITHUB}intel/linux-npu-driver/issues/74",),
    ),
    KnownBad(
        "NPU without its compiler",
        lambda f: f.openvino and not f.npu_compiler and (f.npu or f.asks_for_npu or f.accel != "none"),
        "OpenVINO's package lacks the compiler for NPUs (libopenvino_intel_npu_compiler_loader): without "
        "the one of the driver, opening fails with 'VCL compiler loading failed'.",
        "Install Intel's NPU driver with its compiler (intel-driver-compiler-npu) and leave "
        "NPU_COMPILER_TYPE alone, or put both libraries of the OpenVINO archive of the same version beside "
        "the wheel's libopenvino.so.",
        (f"{_GITHUB}openvinotoolkit/openvino/issues/36374",),
    ),
    KnownBad(
        "AUTO:NPU,CPU answered by the CPU",
        lambda f: f.openvino and f.asks_for_npu and "," in f.device and not f.npu,
        "AUTO:NPU,CPU and MULTI:NPU,CPU run on the CPU without a word where OpenVINO finds no NPU.",
        "Ask for npu alone, with --fallback cpu if that is wanted; the session's device says where it runs.",
        (_MEASURED,),
    ),
    KnownBad(
        "ONNX Runtime's OpenVINO plugin",
        lambda f: "onnxruntime-ep-openvino" in f.distributions,
        "The plugin onnxruntime-ep-openvino loads and may find no device at all (seen on an AMD processor).",
        "Use the bundle's OpenVINO variants: pip install 'edgetl-runtime[openvino]'.",
        (_MEASURED,),
    ),
    KnownBad(
        "QNN simulated",
        lambda f: f.qnn and f.x86,
        "On x86 QNN's HTP is an emulation: its answers are near a device's, its times say nothing about one.",
        "edgetl never chooses it by itself and tells no times of it: measure those on the device.",
        (_MEASURED,),
        avoided=True,
    ),
    KnownBad(
        "QNN and symmetric int8",
        lambda f: f.qnn and f.int8,
        "An int8 file with symmetric signed activations is right on the CPU and wrong on QNN's HTP "
        "(agreement 0.25 where unsigned ones give 0.98).",
        "edgetl quantizes activations unsigned, and the proof refuses what disagrees; quantize files of "
        "others with uint8 or uint16 activations.",
        (_MEASURED,),
        avoided=True,
    ),
    KnownBad(
        "int8 of open shape on AMX",
        lambda f: f.openvino and f.int8 and "amx_int8" in f.flags,
        "OpenVINO crashes at the first run of an int8 graph of open shape on a processor with AMX.",
        "edgetl compiles fixed shapes only; an app that opens the file itself must reshape it before.",
        (f"{_GITHUB}openvinotoolkit/openvino/issues/37577",),
        avoided=True,
    ),
    KnownBad(
        "bf16 by default",
        lambda f: f.openvino and bool(f.flags & _BF16),
        "OpenVINO computes in bf16 on this processor unless told otherwise, which changes answers and times.",
        "edgetl names the precision of each variant; elsewhere set INFERENCE_PRECISION_HINT.",
        (f"{_GITHUB}openvinotoolkit/openvino/issues/28032",),
        avoided=True,
    ),
    KnownBad(
        "OpenVINO's queue",
        lambda f: f.openvino and f.int8,
        "OpenVINO's AsyncInferQueue can hang with int8 graphs of open shape.",
        "edgetl runs bundles by synchronous requests from several threads, without that queue.",
        (f"{_GITHUB}ultralytics/ultralytics/issues/25923",),
        avoided=True,
    ),
    KnownBad(
        "many OpenVINO cores",
        lambda f: f.openvino,
        "A process that makes and destroys several openvino.Core crashes now and then (OpenVINO 2026.4.1).",
        "edgetl has one core for a process; so should other programs.",
        (_MEASURED,),
        avoided=True,
    ),
    KnownBad(
        "onnxruntime-openvino",
        lambda f: "onnxruntime-openvino" in f.distributions,
        "onnxruntime-openvino gives the work to the CPU without an error where its device is not there.",
        "edgetl forbids that and reads back which provider runs; elsewhere look at session.get_providers().",
        (f"{_GITHUB}microsoft/onnxruntime/pull/21166",),
        avoided=True,
    ),
    KnownBad(
        "an NPU that is wrong",
        lambda f: f.npu,
        "Some NPUs compile some networks without an error and answer wrongly (window attention agreed with "
        "the CPU on 0 of 500 pictures).",
        "edgetl lets the device prove itself on the reference cases first; do not open with prove=False "
        "there, and validate.",
        (
            f"{_GITHUB}openvinotoolkit/openvino/issues/37264",
            f"{_GITHUB}openvinotoolkit/openvino/issues/38100",
        ),
        avoided=True,
    ),
    KnownBad(
        "NPUs and open shapes",
        lambda f: f.npu,
        "NPUs refuse graphs of open shape.",
        "edgetl fixes the batch before it compiles, and splits and fills up batches.",
        (
            f"{_GITHUB}openvinotoolkit/openvino/issues/24619",
            f"{_GITHUB}huggingface/optimum-intel/issues/1581",
        ),
        avoided=True,
    ),
    KnownBad(
        "the first start on an NPU",
        lambda f: f.npu,
        "The first compilation for an NPU can take more than a minute.",
        "edgetl keeps what was compiled: let EDGETL_CACHE be a folder that outlives a restart, and open "
        "once when the bundle is installed.",
        (f"{_GITHUB}microsoft/onnxruntime/issues/26643",),
        avoided=True,
    ),
)
