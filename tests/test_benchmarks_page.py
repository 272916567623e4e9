"""docs/benchmarks.md is made of what was measured, and says first what is missed."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measured import Measured, read
from benchmarks.page import PAGE, page
from benchmarks.targets import Row
from benchmarks.train_table import all_cells

MACHINE: dict[str, Any] = {
    "cores": 2,
    "cpu": "a good one",
    "flags": ["avx2"],
    "python": "CPython 3",
    "versions": {"numpy": "2"},
    "load": 0.5,
}


def measured(**figures: Any) -> Measured:
    return Measured("A claim", "python -m claim", "2026-01-01", MACHINE, figures)


def test_the_page_is_what_the_files_give() -> None:
    expected = page(read(), all_cells())
    assert PAGE.read_text(encoding="utf-8") == expected, "write it: python -m benchmarks.page"


def test_what_is_missed_comes_before_all_sections() -> None:
    targets = [Row("fast", 3, 2, "s").facts(), Row("small", 1, 2, "MB").facts()]
    text = page({"claim": measured(part={"targets": targets})}, {})
    missed, section = text.split("## A claim")
    assert "| A claim | fast | 3 s | <= 2 s |" in missed
    assert "small" not in missed
    assert "| small | 1 MB | <= 2 MB | met |" in section


def test_without_a_miss_there_is_no_such_section() -> None:
    text = page({"claim": measured(targets=[Row("small", 1, 2).facts()])}, {})
    assert "missed" not in text


def test_parts_of_one_shape_are_lines_of_a_table_and_intervals_stand_behind_their_figure() -> None:
    figures = {"one": {"ms": 1.5, "gain": [0.25, 0.1, 0.4]}, "two": {"ms": 1200.0, "gain": [0.5, 0.2, 0.8]}}
    text = page({"claim": measured(**figures, alone={"is_it": True})}, {})
    assert "|  | ms | gain |\n| --- | --- | --- |\n| one | 1.5 | 0.25 [0.1, 0.4] |\n| two | 1,200 |" in text
    assert "| alone |  |\n| --- | --- |\n| is it | yes |" in text


def test_a_machine_is_named_once() -> None:
    text = page({"one": measured(ms=1), "two": measured(ms=2)}, {})
    assert text.count("a good one") == 1


FIGURES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.floats()),
    lambda parts: st.dictionaries(st.text(min_size=1, max_size=9), parts, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c|d", "e_f"]), FIGURES))
def test_every_line_of_a_table_has_as_many_cells_as_its_header(figures: dict[str, Any]) -> None:
    cells = 0
    for line in page({"claim": measured(**figures)}, {}).split("\n"):
        if not line.startswith("|"):
            cells = 0
            continue
        cells = cells or line.count("|")
        assert line.count("|") == cells
