"""An examination as people read it in a terminal of 80 columns."""

from dataclasses import replace

from edgetl_runtime.choosing import Choice
from edgetl_runtime.diagnosis import render_examination
from edgetl_runtime.environment import Environment
from edgetl_runtime.examination import EngineHere, Examination, Finding, Opening
from edgetl_runtime.known_bad import KNOWN_BAD
from edgetl_runtime.opening import Skipped

MACHINE = Environment("A CPU", ("avx2", "avx512_vnni"), 2, "Linux", "x86_64", "CPython 3.11")
ENGINES = (
    EngineHere("onnxruntime", "1.32.0", {"cpu": "CPUExecutionProvider"}),
    EngineHere("openvino", None, {}, "Engine 'openvino' is not installed. Run: pip install openvino"),
)
FINDINGS = (
    Finding("cores", "ok", "2, all of which this process may use"),
    Finding("signatures of bundles", "optional", "cryptography is not installed", "Run: pip install it"),
)
FOUND = Examination(MACHINE, None, ENGINES, FINDINGS)
OPENING = Opening(
    *("colours", "auto", "auto", "latency", "openvino-int8", "cpu"),
    Choice("openvino-int8", "cpu", {"openvino-int8 on cpu": 1.96, "onnx-fp32 on cpu": 18.5}),
    (Skipped("openvino-int8 on npu", "The device disagrees."),),
)


def last(found: Examination, paragraphs: int) -> str:
    return "\n\n".join(render_examination(found).split("\n\n")[-paragraphs:])


def test_what_was_found_is_a_line_each_with_its_remedy_below() -> None:
    assert render_examination(FOUND) == (
        "A CPU, 2 cores, Linux, CPython 3.11\n"
        "Instruction sets: avx2 avx512_vnni\n"
        "\n"
        "ok        onnxruntime 1.32.0: cpu (CPUExecutionProvider)\n"
        "optional  openvino: Engine 'openvino' is not installed.\n"
        "          Run: pip install openvino\n"
        "ok        cores: 2, all of which this process may use\n"
        "optional  signatures of bundles: cryptography is not installed\n"
        "          Run: pip install it"
    )


def test_an_engine_that_is_needed_or_broken_is_told_as_such() -> None:
    needed = EngineHere("onnxruntime", None, {}, "Engine 'onnxruntime' is not installed. Run: pip install it")
    broken = EngineHere("openvino", "2026.1", {}, "Engine 'openvino' is installed but does not load: why.")
    lines = render_examination(replace(FOUND, engines=(needed, broken))).splitlines()
    assert lines[3:6] == [
        "missing   onnxruntime: Engine 'onnxruntime' is not installed.",
        "          Run: pip install it",
        "warning   openvino: Engine 'openvino' is installed but does not load: why.",
    ]


def test_a_system_that_does_not_tell_its_instruction_sets_is_told_as_such() -> None:
    silent = replace(FOUND, environment=replace(MACHINE, flags=()))
    assert render_examination(silent).splitlines()[1] == "Instruction sets: the system does not tell"


def test_known_bad_combinations_come_with_their_way_out_and_those_to_act_upon_first() -> None:
    rows = {row.name: row for row in KNOWN_BAD}
    found = replace(FOUND, known_bad=(rows["/dev/accel closed"], rows["NPUs and open shapes"]))
    assert last(found, 2) == (
        "Known to go wrong here:\n"
        "- /dev/accel closed: There is an accelerator in /dev/accel, which this user may\n"
        "  not open: OpenVINO does not list it.\n"
        "  Add the user to the node's group (ls -l /dev/accel), as a rule by sudo usermod\n"
        "  -aG render $USER, and log in again. A container needs the device passed to it\n"
        "  as well.\n"
        "  https://github.com/intel/linux-npu-driver/issues/74\n"
        "\n"
        "Known here, and avoided by edgetl itself:\n"
        "- NPUs and open shapes: NPUs refuse graphs of open shape.\n"
        "  edgetl fixes the batch before it compiles, and splits and fills up batches.\n"
        "  https://github.com/openvinotoolkit/openvino/issues/24619\n"
        "  https://github.com/huggingface/optimum-intel/issues/1581"
    )


def test_a_bundle_is_shown_with_what_is_taken_why_and_what_could_not_be_used() -> None:
    assert last(replace(FOUND, opening=OPENING), 4) == (
        "Bundle colours, variant auto, device auto, for latency: openvino-int8 on cpu.\n"
        "\n"
        "                      ms a batch\n"
        "openvino-int8 on cpu        1.96  taken\n"
        "onnx-fp32 on cpu           18.50\n"
        "\n"
        "Measured now, after each had proven itself. Taken is the first in the bundle's\n"
        "order that no later one beats by more than 5 %.\n"
        "\n"
        "Could not be used:\n"
        "- openvino-int8 on npu: The device disagrees."
    )


def test_what_was_measured_earlier_is_told_as_such() -> None:
    assert OPENING.choice is not None
    remembered = replace(OPENING, choice=replace(OPENING.choice, remembered=True))
    assert "Measured earlier and remembered, after" in render_examination(replace(FOUND, opening=remembered))


def test_what_else_to_know_of_a_device_is_a_note() -> None:
    noted = replace(OPENING, choice=None, skipped=(), notes=("not yet run on hardware",))
    assert last(replace(FOUND, opening=noted), 1) == "Note: not yet run on hardware."


def test_an_explicit_device_has_no_times() -> None:
    explicit = replace(OPENING, device_asked="cpu", choice=None, skipped=())
    told = "Bundle colours, variant auto, device cpu, for latency: openvino-int8 on cpu."
    assert last(replace(FOUND, opening=explicit), 1) == told


def test_a_bundle_that_cannot_be_opened_is_shown_with_the_error() -> None:
    refused = Opening("colours", "auto", "npu", "latency", error="It has no such device.", exit_code=2)
    assert last(replace(FOUND, opening=refused), 1) == (
        "Bundle colours, variant auto, device npu, for latency: cannot be opened. It has\nno such device."
    )


def test_everything_fits_80_columns_but_addresses() -> None:
    everything = replace(FOUND, known_bad=KNOWN_BAD, opening=OPENING)
    lines = render_examination(everything).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if line != line.rstrip()] == []
    assert all(line.isascii() for line in lines)
