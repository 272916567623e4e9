"""The table of known bad combinations: each row is met by what it is about, and by nothing healthy."""

from dataclasses import replace

import pytest

from edgetl_runtime.known_bad import DISTRIBUTIONS, KNOWN_BAD, Facts, known_bad

HEALTHY = Facts(
    x86=True,
    flags=frozenset({"avx2", "avx512_vnni"}),
    cores=4,
    quota=None,
    distributions=frozenset({"onnxruntime", "edgetl-runtime"}),
    npu_compiler=False,
    openvino_devices=frozenset(),
    accel="none",
)
OPENVINO = replace(HEALTHY, distributions=HEALTHY.distributions | {"openvino"}, int8=False, eight_bits=False)
NPU = replace(OPENVINO, openvino_devices=frozenset({"cpu", "npu"}), npu_compiler=True, accel="open")
ARM = {"x86": False, "flags": frozenset({"asimd"})}


def having(facts: Facts, *distributions: str, **changes: object) -> Facts:
    return replace(facts, distributions=facts.distributions.union(distributions), **changes)


# The row, facts that meet it, and the nearest facts that do not.
ROWS = [
    (
        "int8 without VNNI",
        [replace(HEALTHY, flags=frozenset({"avx2"}))],
        [
            replace(HEALTHY, flags=frozenset({"avx2", "avx_vnni"})),
            replace(HEALTHY, flags=frozenset()),  # The system does not tell.
            replace(HEALTHY, **ARM),
            replace(HEALTHY, flags=frozenset({"avx2"}), eight_bits=False),
            replace(HEALTHY, flags=frozenset({"avx2"}), int8=False),
        ],
    ),
    (
        "CPU quota below the threads",
        [replace(HEALTHY, quota=1.5), replace(HEALTHY, quota=2.0, threads=3)],
        [replace(HEALTHY, quota=4.0), replace(HEALTHY, quota=2.0, threads=2)],
    ),
    (
        "two ONNX Runtimes",
        [having(HEALTHY, "onnxruntime-gpu")],
        [having(HEALTHY, "onnxruntime-qnn", **ARM, int8=False)],  # It has a folder of its own.
    ),
    (
        "edgetl and edgetl-runtime",
        [having(HEALTHY, "edgetl")],
        [replace(HEALTHY, distributions=frozenset({"onnxruntime", "edgetl"}))],
    ),
    ("/dev/accel closed", [replace(HEALTHY, accel="closed")], [replace(HEALTHY, accel="open")]),
    (
        "NPU without its compiler",
        [
            replace(NPU, npu_compiler=False),
            replace(OPENVINO, device="npu"),
            replace(OPENVINO, accel="open"),
        ],
        [NPU, OPENVINO, replace(HEALTHY, accel="open")],
    ),
    (
        "AUTO:NPU,CPU answered by the CPU",
        [
            replace(OPENVINO, device="AUTO:NPU,CPU", npu_compiler=True),
            replace(OPENVINO, device="multi:npu.0,cpu", npu_compiler=True),
        ],
        [
            replace(NPU, device="AUTO:NPU,CPU"),
            replace(OPENVINO, device="npu", npu_compiler=True),
            replace(OPENVINO, device="AUTO:GPU,CPU"),
        ],
    ),
    ("ONNX Runtime's OpenVINO plugin", [having(HEALTHY, "onnxruntime-ep-openvino")], [OPENVINO]),
    (
        "QNN simulated",
        [having(HEALTHY, "onnxruntime-qnn"), replace(HEALTHY, device="QNN")],
        [having(HEALTHY, "onnxruntime-qnn", **ARM)],
    ),
    (
        "QNN and symmetric int8",
        [having(HEALTHY, "onnxruntime-qnn", **ARM)],
        [having(HEALTHY, "onnxruntime-qnn", int8=False), HEALTHY],
    ),
    (
        "int8 of open shape on AMX",
        [replace(OPENVINO, int8=True, flags=frozenset({"amx_int8"}))],
        [
            replace(OPENVINO, flags=frozenset({"amx_int8"})),
            replace(HEALTHY, flags=frozenset({"amx_int8"})),
            replace(OPENVINO, int8=True),
        ],
    ),
    (
        "bf16 by default",
        [replace(OPENVINO, flags=frozenset({flag, "avx512_vnni"})) for flag in ("avx512_bf16", "amx_bf16")],
        [OPENVINO, replace(HEALTHY, flags=frozenset({"avx512_bf16", "avx512_vnni"}))],
    ),
    ("OpenVINO's queue", [replace(OPENVINO, int8=True)], [OPENVINO, HEALTHY]),
    ("many OpenVINO cores", [OPENVINO], [HEALTHY]),
    (
        "onnxruntime-openvino",
        [replace(HEALTHY, distributions=frozenset({"onnxruntime-openvino"}))],
        [HEALTHY, OPENVINO],
    ),
    ("an NPU that is wrong", [NPU], [OPENVINO, replace(OPENVINO, openvino_devices=frozenset({"gpu"}))]),
    ("NPUs and open shapes", [NPU, replace(NPU, openvino_devices=frozenset({"npu.3720"}))], [OPENVINO]),
    ("the first start on an NPU", [NPU], [OPENVINO]),
]


def names(facts: Facts) -> list[str]:
    return [row.name for row in known_bad(facts)]


@pytest.mark.parametrize(("name", "met", "not_met"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_met_by_what_it_is_about_only(name: str, met: list[Facts], not_met: list[Facts]) -> None:
    assert [name in names(facts) for facts in met] == [True] * len(met)
    assert [name in names(facts) for facts in not_met] == [False] * len(not_met)


def test_every_row_has_its_test() -> None:
    assert [row[0] for row in ROWS] == [row.name for row in KNOWN_BAD]


def test_nothing_is_wrong_with_a_healthy_machine() -> None:
    assert names(HEALTHY) == []
    assert [row.name for row in known_bad(OPENVINO) if not row.avoided] == []


def test_what_needs_somebody_to_act_comes_first() -> None:
    found = known_bad(replace(NPU, accel="closed", int8=True, quota=1.0))
    assert [row.avoided for row in found] == sorted(row.avoided for row in found)
    assert found[0].name == "CPU quota below the threads"


def test_every_row_says_what_is_wrong_what_to_do_and_who_says_so() -> None:
    for row in KNOWN_BAD:
        assert row.sentence.endswith(".")
        assert row.remedy.endswith(".")
        assert row.sources
        assert all(one.startswith(("https://github.com/", "docs/", "measured for ")) for one in row.sources)
        assert not row.avoided or row.remedy.startswith("edgetl ")


def test_the_facts_are_asked_for_every_distribution_that_a_row_names() -> None:
    named = {name for _, met, not_met in ROWS for facts in met + not_met for name in facts.distributions}
    assert named <= set(DISTRIBUTIONS)
