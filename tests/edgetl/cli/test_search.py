"""`edgetl search`: what it refuses before any work, and what it shows."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from edgetl_factories import colour_folder

from edgetl.cli import main
from edgetl.cli.search import _export, render_findings
from edgetl.search.asked import Asked
from edgetl.search.findings import Findings, find_rows
from edgetl.search.front import Point
from edgetl.search.space import Configuration, Space
from edgetl.search.trials import State, Trial

SPACE = Space(("a", "b"), (None, 64), ("staged",))


def trial(number: int, state: State, point: Point | None, out: Path, **facts: object) -> Trial:
    value = {} if point is None else {"value": point.accuracy, "low": 0.0, "high": 1.0, "n": 40}
    known = {"chosen": value, "verified": value | {"name": "accuracy", "n": 39}, "step": "head"}
    folder = str((out / f"trial-{number}").resolve())
    configuration = Configuration("ab"[number % 2], SPACE.sizes[number // 2 % 2], "staged")
    return Trial(number, configuration, state, point, known | {"folder": folder} | facts, "w")


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    """Three models, one of them beaten by another and one in int8 as well, and one beyond a limit."""
    (tmp_path / "trial-0").mkdir()
    int8 = {"chosen": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40}, "p50_ms": 1.5, "size_mb": 2.0}
    int8["verified"] = {"value": 0.75, "low": 0.6, "high": 0.85, "n": 39}
    (tmp_path / "trial-0" / "int8.json").write_text(json.dumps(int8), encoding="utf-8")
    trials = (
        trial(0, "complete", Point(0.85, 4.0, 3.0), tmp_path),
        trial(1, "complete", Point(0.7, 5.0, 3.0), tmp_path),
        trial(2, "complete", Point(0.9, 9.0, 8.0), tmp_path),
        trial(3, "refused", None, tmp_path, reason="14.2 ms, more than 10"),
    )
    asked = Asked(SPACE, trials=4)
    rows = find_rows(trials, tmp_path)
    return Findings("edgetl-x", asked, trials, rows, {2: "a drop of 3 points"}, "4 trials are done", False)


def test_the_front_holds_float_and_int8_and_not_what_is_beaten(findings: Findings) -> None:
    on_front = [(row.trial, row.precision) for row in findings.rows if row.on_front]
    assert on_front == [(2, "float"), (0, "float"), (0, "int8")]
    assert len(findings.rows) == 4


def test_what_is_exported_is_the_most_accurate_model_that_lies_here(
    findings: Findings, tmp_path: Path
) -> None:
    assert findings.best is not None
    assert findings.best.run == tmp_path / "trial-0" / "run"  # That of trial 2 is another machine's.


def test_the_table_shows_the_front_and_what_to_type_next(findings: Findings, tmp_path: Path) -> None:
    shown = render_findings(findings, tmp_path)
    assert "4 models of 3 trials; 4 trials are done." in shown
    assert "0           int8     0.800     0.750  0.600 to 0.850    1.50  2.0\n" in shown
    assert "Trial 0: a at its own size, staged: head" in shown
    assert "No int8 of trial 2: a drop of 3 points" in shown
    assert "Not tried: b at 64, staged: 14.2 ms, more than 10" in shown
    assert f"Next: edgetl export {tmp_path}/trial-0/run --out {tmp_path}-bundle --on-miss fp16" in shown
    assert max(map(len, shown.partition("trial  ")[2].partition("\n\n")[0].splitlines())) <= 80


def test_the_json_holds_no_address_of_a_database(findings: Findings) -> None:
    told = json.dumps(findings.to_json())
    assert "storage" not in told
    assert json.loads(told)["front"][0]["trial"] == 2


def test_nothing_is_exported_while_others_are_at_work(
    findings: Findings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = replace(findings, trials=(*findings.trials, trial(4, "running", None, tmp_path)))
    assert _export(busy, tmp_path / "bundle") == 3
    assert "Nothing is exported: trials [4] are at work." in capsys.readouterr().err
    assert _export(replace(findings, rows=()), tmp_path / "bundle") == 3
    assert "the models of the front lie elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "on_miss"), [("float", "fp16"), ("int8", "fail")])
def test_the_most_accurate_model_is_exported_and_int8_stops_it_only_where_int8_was_chosen(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, on_miss: str
) -> None:
    exported: list[object] = []
    monkeypatch.setattr(
        "edgetl.pipeline.export_run",
        lambda run, out, on_miss, watcher: exported.extend((run, out, on_miss)),
    )
    rows = tuple(row for row in findings.rows if row.precision == precision)
    assert _export(replace(findings, rows=rows), tmp_path / "bundle") == 0
    assert exported == [tmp_path / "trial-0" / "run", tmp_path / "bundle", on_miss]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials", "0"], "--trials must be a whole number in [1, 100000], got 0."),
        (["--time-budget", "0"], "--time-budget must be seconds in [1, 1e7], got 0.0."),
        (["--sizes", "big"], "--sizes must be native or whole numbers, by commas, such as"),
        (["--sizes", "16"], "--sizes must be native or whole numbers in [32, 1024], got [16]."),
        (["--sizes", ","], "A search needs at least one backbone and one size"),
        (
            ["--recipes", "magic"],
            "--recipes must be some of staged, full, augmented, by commas, got 'magic'.",
        ),
        (["--precisions", "int4"], "--precisions must be some of float, int8, by commas, got 'int4'."),
        (["--max-latency-ms", "-1"], "--max-latency-ms must be a number above 0, got -1.0."),
        (["--storage", "nonsense"], "--storage must be the URL of a database"),
        (["--seed", "-1"], "Recipe.seed must be a whole number in [0, 2147483647], got -1."),
        (["--ray-workers", "2"], "--ray-workers needs a cluster. Give --ray local, or --ray HOST:PORT."),
        (["--ray", "auto"], "--ray must be local or HOST:PORT, such as 10.0.0.1:6379, got 'auto'."),
        (["--ray", "127.0.0.1:1"], "--ray must be local or the HOST:PORT of a Ray cluster that runs, got"),
        (["--export", "."], "'.' exists already. Choose another --out, or remove it."),
    ],
)
def test_wrong_input_is_refused_with_code_2(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = colour_folder(tmp_path / "pictures", 4)
    words = ["search", str(pictures), "--out", str(tmp_path / "study"), "--candidates", "efficientnet_lite0"]
    assert main([*words, *flags]) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert not (tmp_path / "study" / "trial-0").exists()


def test_a_recipe_may_not_say_what_the_search_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text('unfreeze = "input"\nseed = 3\n', encoding="utf-8")
    pictures = colour_folder(tmp_path / "pictures", 4)
    words = [
        "search",
        str(pictures),
        "--out",
        str(tmp_path / "study"),
        "--recipe",
        str(tmp_path / "recipe.toml"),
    ]
    assert main(words) == 2
    assert "error: A search decides on ['seed', 'unfreeze'] itself" in capsys.readouterr().err


def test_without_ray_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else find_spec(name))
    pictures = colour_folder(tmp_path / "pictures", 4)
    assert main(["search", str(pictures), "--out", str(tmp_path / "study"), "--ray", "local"]) == 2
    told = "error: --ray needs Ray, which is not installed. Run: pip install 'edgetl[ray]'"
    assert told in capsys.readouterr().err


def test_without_optuna_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    pictures = colour_folder(tmp_path / "pictures", 4)
    assert main(["search", str(pictures), "--out", str(tmp_path / "study")]) == 2
    assert "Run: pip install 'edgetl[search]'" in capsys.readouterr().err
