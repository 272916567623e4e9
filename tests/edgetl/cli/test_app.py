"""The command line `edgetl`: help without torch, one error with its exit code, nothing half-written."""

import csv
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edgetl_factories import colour_csv, colour_folder

from edgetl import attempt
from edgetl.cli import main
from edgetl.cli.console import ConsoleWatcher
from edgetl.events import Epoch
from edgetl.recipe import Recipe
from edgetl.run import FACTS, SPLITS, read_run
from edgetl_runtime import __version__
from edgetl_runtime.pictures import index

OWN = ("train", "search", "export", "report", "demo", "doctor", "backbones")
FORWARDED = ("predict", "validate", "check", "info")
TINY = ["--backbone", "timm/test_efficientnet", "--weights", "none", "--size", "32", "--crop", "1"]
QUICK = [*TINY, "--views", "none", "--unfreeze", "0"]


@pytest.fixture(autouse=True)
def one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract all features in f32: one compilation instead of two."""
    monkeypatch.setattr(attempt, "fast_precision", lambda: "f32")


def bad(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Run a command that must fail; returns its one error, without `error: `, and its details."""
    assert main(arguments) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    _, message = f"\n{output.err}".split("\nerror: ")
    return message.strip()


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_help_exits_with_0_and_loads_no_torch() -> None:
    commands = [[], *([name] for name in (*OWN, *FORWARDED))]
    code = (
        "import sys\nfrom edgetl.cli import main\n"
        f"for command in {commands}:\n    assert main([*command, '--help']) == 0, command\n"
        "loaded = {'torch', 'timm', 'openvino', 'onnx', 'onnxruntime', 'sklearn', 'scipy', 'PIL', 'numpy'}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.count("Exit codes: 0 pass, 1 a gate or contract failed") == len(commands)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"edgetl {__version__}\n", "")


def test_the_overview_names_every_command_in_a_line_and_none_is_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    overview = capsys.readouterr().out
    assert "..." not in overview.split("Commands:")[1]
    for name in (*OWN, *FORWARDED):
        assert f"\n  {name} " in overview


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'. See: edgetl --help"),
        (["--fly"], "See: edgetl --help"),
        (["train"], "Missing argument 'DATA'. See: edgetl train --help"),
        (["train", "data"], "Missing option '--out'. See: edgetl train --help"),
        (["train", "data", "--out"], "Option '--out' requires an argument."),
        (["train", "data", "more", "--out", "run"], "Got unexpected extra argument"),
        (["train", "data", "--out", "run", "--size", "big"], "Invalid value for '--size'"),
        (["train", "data", "--out", "run", "--sise", "64"], "No such option: --sise"),
        (["export", "run"], "Missing option '--out'"),
        (["backbones", "--source", "hub"], "--source must be one of lite, torchvision, timm, got 'hub'."),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "7"], "Recipe.size must be a whole number in [32, 1024], got 7."),
        (["--crop", "nan"], "Recipe.crop must be a number in [0.1, 1], got nan."),
        (["--views", "all"], "Recipe.views must be one of ('none', 'hflip', 'flips'), got 'all'."),
        (["--unfreeze", "two"], "or whole numbers such as 2,3,9, got 'two'."),
        (["--unfreeze", "3,2"], "or rising whole numbers from 1, such as (1, 2, 4), got (3, 2)."),
        (["--epochs", "0"], "Recipe.epochs must be a whole number in [1, 1000], got 0."),
        (
            ["--learning-rate", "0"],
            'Recipe.learning_rate must be a number in [1e-07, 10] or "auto", got 0.0.',
        ),
        (["--class-weights", "some"], "Recipe.class_weights must be one of"),
        (["--time-budget", "0.5"], "Recipe.time_budget_s must be a number in [1, 10000000], got 0.5."),
        (["--seed", "-1"], "Recipe.seed must be a whole number in [0, 2147483647], got -1."),
        (["--max-unreadable", "2"], "max_unreadable must be a fraction in [0, 1], got 2.0."),
        (["--recipe", "missing.toml"], "The recipe 'missing.toml' cannot be read"),
        (["--backbone", "efficientnet_lite9"], "No backbone is called 'efficientnet_lite9'. Did you mean"),
        (["--backbone", "missing/run"], "No backbone is called 'missing/run'."),
        (["--weights", "missing.pth"], "The weights 'missing.pth' cannot be read"),
        ([*TINY, "--unfreeze", "8"], "has 7 stages, --unfreeze asks for 8."),
        (
            ["--candidates", "efficientnet_lite1"],
            "Give --backbone auto, which chooses from them, or --target-accuracy",
        ),
        (
            ["--backbone", "auto", "--weights", "none"],
            "Recipe.weights must be 'default' where the backbone is",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_told_and_nothing_is_written(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    colour_folder(tmp_path / "data", 4)
    before = listed(tmp_path)
    assert message in bad(["train", "data", "--out", "run", *flags], capsys)
    assert listed(tmp_path) == before


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--size", "224"], "--size"),  # The default, and yet it was asked for.
        (["--crop", "1", "--layout", "nhwc"], "--layout, --crop"),
        (["--mean", "0", "0", "0", "--std", "1", "1", "1", "--licence", "MIT"], "--mean, --std, --licence"),
        (["--classes", "classes.txt"], "--classes"),
    ],
)
def test_what_describes_an_onnx_file_is_refused_for_a_run(
    flags: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    expected = f"Only an ONNX file takes {named}; the run {run!r} knows its own. Leave them out."
    assert bad(["export", run, "--out", str(tmp_path / "bundle"), *flags], capsys) == expected


def empty_class(data: Path) -> None:
    colour_folder(data, 4)
    (data / "yellow").mkdir()


def one_class(data: Path) -> None:
    colour_folder(data, 4, dict.fromkeys(("red", "green", "blue"), "colour"))


def unreadable(data: Path) -> None:
    """Empty, cut off in the middle, and no picture at all."""
    colour_folder(data, 4)
    (data / "red" / "0.png").write_bytes(b"")
    (data / "red" / "1.png").write_bytes((data / "red" / "1.png").read_bytes()[:600])
    (data / "red" / "2.png").write_text("a letter")


def table(data: Path, text: str) -> None:
    colour_folder(data.parent / "pictures", 4)
    data.write_text(text, encoding="utf-8")


BAD_DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (lambda data: None, "data"),
    "empty folder": (lambda data: data.mkdir(), "data"),
    "empty class": (empty_class, "yellow"),
    "one class": (one_class, "nothing to tell apart"),
    "one picture per class": (lambda data: colour_folder(data, 1), "have one picture each"),
    "two pictures per class": (lambda data: colour_folder(data, 2), "Add pictures"),
    "unreadable pictures": (unreadable, "3 of 12 pictures are unreadable"),
    "a class no CSV can hold": (
        lambda data: colour_folder(data, 8, {"red": "a|b"}),
        "cannot hold the class 'a|b'",
    ),
    "a CSV without rows": (lambda data: table(data, "path,label\n"), "data"),
    "a CSV without labels": (lambda data: table(data, "path\npictures/red/0.png\n"), "label"),
    "a CSV of missing files": (lambda data: table(data, "path,label\nno.png,a\nnone.png,b\n"), "unreadable"),
    "an unknown split": (
        lambda data: table(data, "path,label,split\npictures/red/0.png,red,dev\n"),
        "'dev'",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_told_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD_DATA[case]
    data = tmp_path / "data"
    make(data)
    before = listed(tmp_path)
    assert message in bad(["train", str(data), "--out", str(tmp_path / "run"), *QUICK], capsys)
    assert listed(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_that_is_taken_is_told_before_the_pictures_are_read(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir() if kind == "folder" else out.write_text("mine")
    for name in ("cat/1.jpg", "dog/1.jpg"):  # What is no picture would be told, were it read.
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).touch()
    before = listed(tmp_path)
    line = bad(["train", str(tmp_path / "data"), "--out", str(out)], capsys)
    assert line == f"{str(out)!r} exists already. Choose another --out, or remove it."
    assert listed(tmp_path) == before


def test_a_place_that_no_advice_can_be_written_to_is_told_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = bad(["advise", str(tmp_path / "no data"), "--out", str(tmp_path / "file" / "advice")], capsys)
    assert line == f"Nothing can be written in {str(tmp_path / 'file')!r}. Choose another --out."


def test_advice_ends_with_a_training_that_takes_the_same_unreadable_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_folder(tmp_path / "colours", 6)
    quick = ["--backbone", "efficientnet_lite0", "--size", "32", "--no-trials"]
    assert main(["advise", str(data), *quick, "--max-unreadable", "0.2"]) == 0
    command = capsys.readouterr().out.split("Next: ")[1]
    assert " ".join(command.replace("\\", "").split()) == (
        "edgetl train DATA --backbone auto --candidates efficientnet_lite0 --size 32 --max-unreadable 0.2 "
        "--out RUN"
    )


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def press_ctrl_c(self: ConsoleWatcher, step: str, epoch: Epoch, of: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ConsoleWatcher, "epoch", press_ctrl_c)
    return


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_in_a_step_leaves_the_best_so_far_and_exits_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = colour_folder(tmp_path / "data"), tmp_path / "run"
    flags = [*TINY, "--views", "none", "--unfreeze", "2,4", "--epochs", "1"]
    assert main(["train", str(data), "--out", str(out), *flags]) == 130
    output = capsys.readouterr()
    assert "Interrupted: this is the best so far.\n" in output.out
    assert "Interrupted: the best so far is kept, and the same command goes on.\n" in output.err
    with (out / SPLITS).open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 61


def test_spaces_and_other_letters_are_no_trouble_and_odd_files_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "dossier d’été", tmp_path / "mein lauf"
    colour_folder(data, 20, {"red": "rot & weiß", "green": "зелёный", "blue": "青 い"})
    (data / "青 い" / "0.png").rename(data / "青 い" / "null 0.jpg")  # A PNG under another name is a PNG.
    (data / "青 い" / "leer.png").write_bytes(b"")
    if sys.platform == "linux":  # A name that is no UTF-8, which run.json must hold all the same.
        (data / "青 い" / os.fsdecode(b"l\xe9er.png")).write_bytes(b"")
    whole = (data / "зелёный" / "1.png").read_bytes()
    (data / "зелёный" / "половина.png").write_bytes(whole[: len(whole) // 2])
    assert main(["train", str(data), "--out", str(out), *QUICK]) == 0
    output = capsys.readouterr()
    assert "pictures in 3 classes\n" in output.err
    assert f"left out: {data / '青 い' / 'leer.png'} is empty\n" in output.err
    assert f"left out: {data / 'зелёный' / 'половина.png'} " in output.err
    assert "null 0.jpg" not in output.err
    assert output.out.endswith(f"Next: edgetl export '{out}' --out '{out}-bundle'\n")
    assert read_run(out).classes == ("rot & weiß", "зелёный", "青 い")
    assert len(index(out / SPLITS).pictures) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dossier d’été", "mein lauf"]


def test_a_run_can_be_printed_as_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = colour_csv(tmp_path / "data")
    assert main(["train", str(data), "--out", str(tmp_path / "run"), "--json", *QUICK]) == 0
    output = capsys.readouterr()
    printed = json.loads(output.out)
    written = json.loads((tmp_path / "run" / FACTS).read_text(encoding="utf-8"))
    assert printed == {name: value for name, value in written.items() if name != "format_version"}
    assert printed["dataset"]["path"] == str(data)


def test_a_recipe_file_and_flags_reach_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_folder(tmp_path / "data")
    toml = tmp_path / "recipe.toml"
    toml.write_text(
        'backbone = "timm/test_efficientnet"\nweights = "none"\nseed = 3\nbatch_size = 8\nsize = 64\n'
    )
    flags = ["--recipe", str(toml), *QUICK, "--seed", "0"]
    assert main(["train", str(data), "--out", str(tmp_path / "run"), *flags]) == 0
    capsys.readouterr()
    recipe = read_run(tmp_path / "run").recipe
    named = tomllib.loads(toml.read_text()) | {
        "seed": 0,
        "size": 32,
        "crop": 1.0,
        "views": "none",
        "unfreeze": [],
        "augment": "none",
        "l2_sp": 0.1,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "weight_decay": 0.0,
    }
    assert recipe == json.loads(json.dumps(Recipe().to_json())) | named


def break_down(what: BaseException) -> Callable[..., None]:
    def train(*given: object, **more: object) -> None:
        raise what

    return train


def test_ctrl_c_before_there_is_anything_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgetl.finetuning.train", break_down(KeyboardInterrupt()))
    data = colour_folder(tmp_path / "data", 8)
    assert main(["train", str(data), "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_exits_with_70_and_a_traceback_only_on_demand(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgetl.finetuning.train", break_down(KeyError("x")))
    data = colour_folder(tmp_path / "data", 8)
    flags = ["--debug"] if debug else []
    assert main(["train", str(data), "--out", str(tmp_path / "run"), *flags]) == 70
    lines = capsys.readouterr().err
    advice = "This is a fault of edgetl: run again with --debug and report it."
    assert lines.splitlines()[-1] == f"error: KeyError: 'x'. {advice}"
    assert ("Traceback" in lines) is debug


def test_backbones_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    assert "efficientnet_lite0" in capsys.readouterr().out
    assert main(["backbones", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "efficientnet_lite0"


def test_the_doctor_speaks_json_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["name"] for one in found["findings"]} >= {"int8", "torch", "disk"}
    assert main(["doctor"]) == 0
    assert "torch: " in capsys.readouterr().out


def test_the_commands_of_the_runtime_are_the_runtimes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tmp_path / "missing")]) == 2
    assert capsys.readouterr().err.startswith("error: There is no bundle at ")
    assert main(["check", "one.json"]) == 2
    assert capsys.readouterr().err.startswith("usage: edgetl check")


def test_python_m_edgetl_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgetl", "train"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "error: Missing argument 'DATA'. See: edgetl train --help\n")
