"""What Vela says, read without it: its summary, its table, and the file that it leaves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgetl_exporters.integer_graph import IntegerGraph, IntegerOperator, IntegerTensor
from edgetl_exporters.to_tflite import to_tflite
from edgetl_exporters.vela import Accelerator, Summary, compile_for, read_summary, refuse_cpu
from edgetl_runtime.errors import ContractError

U55 = Accelerator("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
# As Vela 5.2.0 printed it for a small network.
PRINTED = """
Network summary for model
Accelerator configuration               Ethos_U55_128
Total SRAM used                                 21.83 KiB

CPU operators = 0 (0.0%)
NPU operators = 8 (100.0%)

Neural network macs                            345088 MACs/batch
"""
TABLE = (
    "experiment,network,core_clock,sram_memory_used,dram_memory_used,off_chip_flash_memory_used,cycles_total\n"
    "default,model,500000000.0,21.828125,0.0,5.515625,24582\n"
)
WHOLE = Summary(8, 0, 21.828125, 0.0, 5.515625, 500e6, 24_582)


def one_operator(kind: str = "RELU6") -> bytes:
    ends = {name: IntegerTensor(name, (1, 4, 4, 3), (1.0,), -128) for name in ("x", "y")}
    return to_tflite(IntegerGraph(ends, (IntegerOperator(kind, "one", ("x",), "y"),), "x", "y"), "one")  # type: ignore[arg-type]


class Recorded:
    """In the place of Vela: prints what it is told, and leaves the files that it is told."""

    def __init__(self, printed: str, table: str, compiled: bytes) -> None:
        self.printed, self.table, self.compiled = printed, table, compiled
        self.arguments: list[str] = []

    def __call__(self, arguments: Sequence[str]) -> str:
        self.arguments = list(arguments)
        out = Path(arguments[arguments.index("--output-dir") + 1])
        out.mkdir()
        (out / "model_vela.tflite").write_bytes(self.compiled)
        if self.table:
            (out / "model_summary_Ethos_U55_High_End_Embedded.csv").write_text(self.table, encoding="utf-8")
        return self.printed


def test_the_summary_and_the_table_are_read() -> None:
    assert read_summary(PRINTED, TABLE) == WHOLE


@pytest.mark.parametrize(
    ("printed", "table", "missing"),
    [
        ("", TABLE, "CPU operators, NPU operators"),
        (PRINTED.replace("NPU operators", "npu-operators"), TABLE, "lacks NPU operators"),
        (
            PRINTED,
            "",
            "lacks sram_memory_used, dram_memory_used, off_chip_flash_memory_used, core_clock, cycles",
        ),
        (PRINTED, TABLE.replace("cycles_total", "cycles"), "lacks cycles_total"),
        (PRINTED, TABLE.replace("24582", "nan"), "lacks cycles_total"),
        (PRINTED, TABLE.splitlines()[0], "lacks sram_memory_used"),
    ],
)
def test_a_summary_without_a_figure_is_refused_and_names_it(printed: str, table: str, missing: str) -> None:
    with pytest.raises(ContractError, match=missing):
        read_summary(printed, table)


def test_all_on_the_npu_is_let_through() -> None:
    refuse_cpu(U55, WHOLE, [("ethos-u", "features")])


@pytest.mark.parametrize(
    ("summary", "operators", "message"),
    [
        # Vela returns 0 in each of these cases.
        (
            Summary(7, 1, 1, 0, 1, 5e8, 9),
            [("ethos-u", "a"), ("MEAN", "b")],
            r"1 of 8 operators .*: MEAN 'b'\.",
        ),
        (Summary(0, 70, 0, 0, 0, 5e8, 0), [("CONV_2D", "a")] * 70, "70 of 70 operators .* and 65 more"),
        (Summary(8, 1, 1, 0, 1, 5e8, 9), [("ethos-u", "a")], "1 of 9 operators .*: it names none"),
        (Summary(8, 0, 1, 0, 1, 5e8, 9), [("ethos-u", "a"), ("GELU", "b")], "1 of 8 operators .*: GELU 'b'"),
        (Summary(0, 0, 0, 0, 0, 5e8, 0), [], "0 of 0 operators"),
    ],
)
def test_an_operator_on_the_cpu_is_refused_by_the_count_or_by_the_file(
    summary: Summary, operators: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(ContractError, match=message) as refused:
        refuse_cpu(U55, summary, operators)
    assert "to the CPU of ethos-u55-128" in str(refused.value)
    assert "choose a backbone without them" in str(refused.value)


def test_a_count_of_none_does_not_hide_an_operator_of_the_compiled_file(tmp_path: Path) -> None:
    lying = Recorded(PRINTED, TABLE, one_operator())
    with pytest.raises(ContractError, match=r"Vela leaves 1 of 8 operators .*: RELU6 'y'"):
        compile_for(lying, tmp_path / "model.tflite", U55, tmp_path / "out")
    assert lying.arguments[:3] == [str(tmp_path / "model.tflite"), "--accelerator-config", "ethos-u55-128"]
    assert lying.arguments[5:9] == [
        *("--system-config", "Ethos_U55_High_End_Embedded"),
        *("--memory-mode", "Shared_Sram"),
    ]


def test_a_run_that_leaves_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="Vela's summary lacks sram_memory_used"):
        compile_for(Recorded(PRINTED, "", one_operator()), tmp_path / "model.tflite", U55, tmp_path / "out")


def test_a_tensor_says_what_does_not_fit() -> None:
    with pytest.raises(ContractError, match=r"'w' must have the shape \(4,\), got \(3,\)"):
        IntegerTensor("w", (4,), values=np.zeros(3, np.int8))
    with pytest.raises(ContractError, match="'w' must have a scale for each channel, got 3"):
        IntegerTensor("w", (4,), (1.0, 2.0, 3.0))
    with pytest.raises(ContractError, match="'w' must have scales above 0"):
        IntegerTensor("w", (4,), (0.0,))
    with pytest.raises(ContractError, match="'one' reads 'y', which nothing gives it"):
        IntegerGraph({}, (IntegerOperator("RELU", "one", ("y",), "z"),), "x", "z")
    with pytest.raises(ContractError, match="Nothing gives the output 'z'"):
        IntegerGraph({}, (), "x", "z")
