"""The learning curve: an SVG that names every step."""

import xml.etree.ElementTree as ET
from pathlib import Path

from edgetl.curve import write_curve
from edgetl.events import Epoch, Step

HEAD = Step("head", 10, 1.0, 0.9, 0.6, 0.5, True, "solved with C = 0.01")


def step(name: str, losses: list[float], kept: bool) -> Step:
    epochs = tuple(Epoch(n, 1.0, loss, loss, 0.8, 0.7) for n, loss in enumerate(losses, start=1))
    return Step(name, 100, 3.0, losses[-1], 0.8, 0.7, kept, "loss falls", epochs)


def read(path: Path) -> str:
    assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    return path.read_text(encoding="utf-8")


def test_every_step_is_named_and_what_was_not_kept_is_marked(tmp_path: Path) -> None:
    steps = [HEAD, step("last stage", [0.8, 0.7], True), step("all stages", [0.7, 0.9, 1.1], False)]
    write_curve(tmp_path / "curve.svg", steps)
    text = read(tmp_path / "curve.svg")
    for words in ("solved head", "last stage", "all stages (not kept)", "loss on validation (nats)"):
        assert f"<!-- {words} -->" in text
    assert "<!-- last stage (not kept) -->" not in text


def test_a_head_alone_has_a_curve_as_well(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.svg", [HEAD])
    assert "<!-- solved head -->" in read(tmp_path / "curve.svg")


def test_the_same_steps_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        write_curve(tmp_path / name, [HEAD, step("last stage", [0.8, 0.7], True)])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
