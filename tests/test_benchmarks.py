"""The benchmarks' targets: what is met, what is missed, and that every promise of speed has its row."""

import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.runtime import PARTS, Plan, run
from benchmarks.targets import Row, table


@pytest.mark.parametrize(
    ("row", "target", "outcome"),
    [
        (Row("over the limit", 1.15, 1.15), "<= 1.15", "met"),
        (Row("over the limit", 1.16, 1.15), "<= 1.15", "missed"),
        (Row("faster", 3.5, 3.5, at_least=True), ">= 3.5", "met"),
        (Row("faster", 3.4, 3.5, at_least=True), ">= 3.5", "missed"),
        (Row("faster", None, 3.5, at_least=True), ">= 3.5", "not measured"),
        (Row("import", 0, 25, "ms"), "<= 25 ms", "met"),
    ],
)
def test_a_figure_is_held_against_its_target(row: Row, target: str, outcome: str) -> None:
    assert (row.target, row.outcome) == (target, outcome)
    assert row.facts()["outcome"] == outcome


def test_the_table_has_a_column_for_targets() -> None:
    rows = [Row("import", 12.5, 25, "ms"), Row("faster than a peer", None, 2.5, at_least=True)]
    assert table(rows).splitlines() == [
        "                    measured  target",
        "import              12.5 ms   <= 25 ms  met",
        "faster than a peer  -         >= 2.5    not measured",
    ]


def test_every_peer_that_is_missing_is_said_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_ENVIRONMENTS", tmp_path)
    with peers.running(tmp_path, b"") as found:
        assert found.ways == {}
        assert found.missing == {
            peers.MODEL_API: "run benchmarks/peers/make.sh modelapi",
            peers.ULTRALYTICS: "run benchmarks/peers/make.sh ultralytics_cls",
        }


def test_a_peer_takes_part_by_its_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(peers.__file__).parent / "answering.py"
    text = (
        f"import sys; sys.path.insert(0, {str(script.parent)!r})\nimport answering\n"
        "answering.main(lambda bundle, folder: (folder / 'made').touch(), "
        "lambda folder, picture: lambda: (folder / 'made').stat())\n"
    )
    (tmp_path / "peer.py").write_text(text, encoding="utf-8")
    python = tmp_path / "peer" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(peers, "_ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(peers, "_HERE", tmp_path)
    monkeypatch.setattr(peers, "PEERS", {"a peer": "peer.py"})
    with peers.running(tmp_path, b"") as found:
        for _ in range(3):
            found.ways["a peer"]()
        assert len(found.inside_ms(2)["a peer"]) == 2
        assert min(found.clocks_ms["a peer"]) > 0
    with peers.prepared(tmp_path, b"") as ready:
        assert ready.first_answer_ms("a peer") > 0


def test_memory_is_measured_with_its_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_bundle import tiny_bundle

    from edgetl_runtime.benching import sample_picture

    pytest.importorskip("openvino")
    monkeypatch.setattr("benchmarks.runtime._VARIANT", "openvino-fp32")
    plan = Plan(tiny_bundle(tmp_path / "bundle"), sample_picture(64, 48), rounds=1, predictions=40)
    rows = [row for part in run(plan, ["memory", "threads"]).values() for row in part.rows]
    assert [row.outcome for row in rows if "memory" not in row.what] == ["met"] * 3
    assert [row.limit for row in rows] == [2, 0, 0, 0]


def test_the_parts_are_those_of_the_documentation() -> None:
    from benchmarks import runtime

    assert f"[--parts {','.join(PARTS)}]" in (runtime.__doc__ or "")
