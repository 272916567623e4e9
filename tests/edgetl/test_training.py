"""A training from end to end, on squares of three colours: what it leaves, and what interrupts it."""

import csv
import errno
import json
from dataclasses import asdict, replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgetl_factories import TINY_RECIPE as RECIPE
from edgetl_factories import Diary, Interrupting, Killed, colour_csv, colour_folder

import edgetl
from edgetl import cache, extraction, schedule, steps
from edgetl.attempt import Outcome
from edgetl.checkpoint import checkpoint_folder
from edgetl.dataset import Dataset, load_dataset
from edgetl.events import Epoch, Step
from edgetl.eviction import StoreInfo, list_stores
from edgetl.job import prepare
from edgetl.recipe import Recipe, read_recipe
from edgetl.run import MODEL, PREDICTIONS, SPLITS, Run, read_head, read_module, read_run
from edgetl.scoring import Comparison
from edgetl.task import TASKS
from edgetl.training import train
from edgetl_runtime.errors import DatasetError, InputError
from edgetl_runtime.pictures import index

FILES = {
    "model.safetensors",
    "run.json",
    "recipe.toml",
    "dataset.csv",
    "predictions.csv",
    "metrics.csv",
    "learning_curve.svg",
    "confusion.svg",
    "tensorboard",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours")))


def keep_all(patch: pytest.MonkeyPatch) -> None:
    """Keep every step, so that what is tested is about tuned weights on any machine."""
    patch.setattr(steps, "compare", lambda best, candidate: Comparison(True, 0.1, 0.1, "kept for the test"))


@pytest.fixture(autouse=True)
def one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract all features in f32: one compilation instead of two."""
    monkeypatch.setattr("edgetl.attempt.fast_precision", lambda: "f32")


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_all(monkeypatch)


@pytest.fixture(scope="module")
def finished(
    dataset: Dataset, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Run, Diary]:
    """Train once without interruption; returns the folder, the run, and what was told."""
    out, diary = tmp_path_factory.mktemp("finished") / "run", Diary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        patch.setattr("edgetl.attempt.fast_precision", lambda: "f32")
        keep_all(patch)
        return out, train(dataset, RECIPE, out, diary), diary


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_a_run_and_nothing_else(finished: tuple[Path, Run, Diary]) -> None:
    out, run, _ = finished
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    assert json.loads(json.dumps(asdict(read_run(out)), default=str)) == json.loads(
        json.dumps(asdict(run), default=str)
    )


def test_the_run_says_what_was_trained_on_what(finished: tuple[Path, Run, Diary], dataset: Dataset) -> None:
    _, run, _ = finished
    assert (run.name, run.task, run.classes) == ("run", "single_label", ("blue", "green", "red"))
    assert (run.backbone, run.preprocess.size, run.interrupted) == (RECIPE.backbone, 32, False)
    chosen = {"augment": "none", "label_smoothing": 0.0, "mixup": 0.0, "l2_sp": 0.1, "weight_decay": 0.0}
    assert run.recipe == RECIPE.to_json() | chosen
    sizes = {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    assert sum(sizes.values()) == 60
    assert run.dataset == {
        "path": str(dataset.root.absolute()),
        "fingerprint": dataset.fingerprint,
        "counts": sizes,
        "flaws": {"left out": [], "leakage": [], "contradiction": []},
    }


def test_every_step_is_told_and_recorded(finished: tuple[Path, Run, Diary]) -> None:
    _, run, diary = finished
    assert [step["name"] for step in run.steps] == ["head", "last 2 stages", "last 4 stages"]
    assert [asdict(step) for step in diary.steps] == list(run.steps)
    assert diary.epochs == [(name, n) for name in ("last 2 stages", "last 4 stages") for n in (1, 2)]
    assert [name.split(",")[0] for name in diary.phases] == [
        "backbone",
        "features to train on",
        "features to choose by",
        "head",
        "last 2 stages",
        "last 4 stages",
    ]


@torch.no_grad()
def test_the_module_of_the_run_gives_its_predictions(
    finished: tuple[Path, Run, Diary], dataset: Dataset
) -> None:
    out, run, _ = finished
    module, answers = read_module(out), rows(out / PREDICTIONS)
    pictures = [next(one for one in dataset.val if one.sha256 == row["sha256"]) for row in answers]
    pixels = np.stack([run.preprocess(one.path) for one in pictures]).transpose(0, 3, 1, 2)
    mean, std = (np.array(values)[:, None, None] for values in (run.mean, run.std))
    logits = module(torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32))).numpy()
    expected = TASKS["single_label"].probabilities(logits / run.temperature)
    found = np.array([[float(row[name]) for name in run.classes] for row in answers])
    assert np.allclose(found, expected, atol=0.01)
    assert found.std() > 0.1
    truth = dataset.targets(pictures)
    assert run.figures["accuracy"]["value"] == pytest.approx((found.argmax(axis=1) == truth).mean())


def test_the_figures_come_from_pictures_that_nothing_was_chosen_on(
    finished: tuple[Path, Run, Diary], dataset: Dataset
) -> None:
    out, run, _ = finished
    verified = {row["sha256"] for row in rows(out / PREDICTIONS)}
    used = {one.sha256 for one in (*dataset.train, *dataset.test)}
    assert not verified & used
    assert verified < {one.sha256 for one in dataset.val}
    assert run.figures["accuracy"]["n"] == len(verified)


def test_the_runtime_reads_the_splits_of_the_run(finished: tuple[Path, Run, Diary], dataset: Dataset) -> None:
    found = index(finished[0] / SPLITS)
    assert (found.classes, found.task, found.fingerprint) == (
        dataset.classes,
        "single_label",
        dataset.fingerprint,
    )
    splits = {one.sha256: one.split for one in (*dataset.train, *dataset.val, *dataset.test)}
    assert {one.sha256: one.split for one in found.pictures} == splits


@pytest.mark.usefixtures("generous")
def test_the_same_training_leaves_the_same_weights(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    again = train(dataset, RECIPE, tmp_path / "run")
    assert (tmp_path / "run" / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()
    assert again.temperature == finished[1].temperature


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("at", [("last 2 stages", 1), ("last 2 stages", 2), ("last 4 stages", 1)])
def test_a_killed_training_leaves_no_run_and_goes_on_to_the_same_bits(
    at: tuple[str, int], finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    out, whole, diary = tmp_path / "run", finished[2].epochs, Diary()
    with pytest.raises(Killed):
        train(dataset, RECIPE, out, Interrupting(Killed, at))
    assert [path.name for path in tmp_path.iterdir()] == [".run.training"]
    run = train(dataset, RECIPE, out, diary)
    assert diary.epochs == whole[whole.index(at) + 1 :]
    assert (out / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()
    assert replace(run, steps=(), search={}) == replace(finished[1], steps=(), search={})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_another_recipe_does_not_go_on_from_a_killed_training(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(dataset, RECIPE, tmp_path / "run", Interrupting(Killed, ("last 2 stages", 2)))
    diary = Diary()
    train(dataset, replace(RECIPE, decay=3.0, unfreeze=(2,)), tmp_path / "run", diary)
    assert diary.epochs == [("last 2 stages", 1), ("last 2 stages", 2)]
    assert not checkpoint_folder(tmp_path / "run").exists()


def test_ctrl_c_writes_the_best_so_far(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    diary = Interrupting(KeyboardInterrupt, ("last 2 stages", 1))
    run = train(dataset, RECIPE, tmp_path / "run", diary)
    assert run.interrupted
    assert read_run(tmp_path / "run").interrupted
    assert [step["name"] for step in run.steps] == ["head"]
    assert diary.notes == ["Interrupted: the best so far is kept, and the same command goes on."]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.training", "run"]
    assert (tmp_path / "run" / MODEL).read_bytes() != (finished[0] / MODEL).read_bytes()
    head_alone = train(dataset, replace(RECIPE, unfreeze=()), tmp_path / "head")
    assert (tmp_path / "run" / MODEL).read_bytes() == (tmp_path / "head" / MODEL).read_bytes()
    assert run.figures == head_alone.figures


@pytest.mark.usefixtures("generous")
def test_the_same_call_goes_on_after_ctrl_c_to_the_same_bits(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    out, diary = tmp_path / "run", Diary()
    first = train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, ("last 4 stages", 1)))
    assert first.interrupted
    second = train(dataset, RECIPE, out, diary)
    assert not second.interrupted
    assert diary.epochs == [("last 4 stages", 2)]
    assert (out / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(InputError, match=r"exists already\."):
        train(dataset, RECIPE, out)


def test_a_second_ctrl_c_that_comes_earlier_leaves_the_better_run(dataset: Dataset, tmp_path: Path) -> None:
    out, diary = tmp_path / "run", Diary()
    first = train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, "last 4 stages"))
    assert [step["kept"] for step in first.steps] == [True, True]
    before = (out / MODEL).read_bytes()
    second = train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, "last 2 stages"))
    assert second.interrupted
    assert [step["name"] for step in second.steps] == ["head", "last 2 stages"]
    assert (out / MODEL).read_bytes() == before
    train(dataset, RECIPE, out, diary)
    assert diary.epochs[0] == ("last 4 stages", 1)


@pytest.mark.parametrize(
    ("change", "named"), [({"decay": 3.0, "seed": 1}, "decay, seed"), ({"unfreeze": (2,)}, "unfreeze")]
)
def test_an_interrupted_run_is_not_overwritten_by_another_training(
    change: dict[str, Any], named: str, dataset: Dataset, tmp_path: Path
) -> None:
    out, diary = tmp_path / "run", Diary()
    train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, ("last 2 stages", 1)))
    before = (out / MODEL).read_bytes()
    with pytest.raises(InputError) as refused:
        train(dataset, replace(RECIPE, **change), out, diary)
    assert str(refused.value) == (
        f"{str(out)!r} is what Ctrl-C left of another training, whose {named} differ. Repeat that one's "
        "command to go on with it; for this one choose another --out, or remove it."
    )
    assert (diary.phases, (out / MODEL).read_bytes()) == ([], before)
    train(dataset, RECIPE, out, diary)
    assert diary.epochs[0] == ("last 2 stages", 2)


def test_an_interrupted_run_is_not_overwritten_by_a_training_on_other_pictures(
    dataset: Dataset, tmp_path: Path
) -> None:
    out, others = tmp_path / "run", colour_folder(tmp_path / "others", 8)
    train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, ("last 2 stages", 1)))
    before, diary = (out / MODEL).read_bytes(), Diary()
    with pytest.raises(InputError, match="left of another training, whose pictures differ"):
        edgetl.finetune(others, out, watcher=diary, backbone="auto")
    assert diary.phases == ["pictures"]
    assert (out / MODEL).read_bytes() == before


@pytest.mark.usefixtures("generous")
def test_another_budget_or_target_makes_no_other_training(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    train(dataset, RECIPE, tmp_path / "run", Interrupting(KeyboardInterrupt, ("last 2 stages", 1)))
    changed = replace(RECIPE, time_budget_s=6000.0, target_accuracy=1.0, candidates=())
    assert not train(dataset, changed, tmp_path / "run", diary).interrupted
    assert ("last 2 stages", 1) not in diary.epochs


@pytest.mark.usefixtures("generous")
def test_a_step_that_is_done_stays_under_a_smaller_budget(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, diary = tmp_path / "run", Diary()
    train(dataset, RECIPE, out, Interrupting(KeyboardInterrupt, "last 4 stages"))
    before = (out / MODEL).read_bytes()
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 1000.0)
    run = train(dataset, replace(RECIPE, time_budget_s=60.0), out, diary)
    assert [step["name"] for step in run.steps] == ["head", "last 2 stages"]
    assert diary.notes == ["Left out: last 4 stages; 2 epochs take 2000 s of the time budget."]
    assert (diary.epochs, (out / MODEL).read_bytes()) == ([], before)


@pytest.mark.usefixtures("generous")
def test_a_full_disk_is_told_and_nothing_is_lost(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third checkpoint meets the full disk, as the kernel reports it."""
    out, diary, left = tmp_path / "run", Diary(), iter([True, True, False])
    write = Path.write_bytes

    def filling(self: Path, data: bytes) -> int:
        if "safetensors" in self.name and not next(left):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(InputError, match=r"^No space left on the disk of .*\. Free some"):
            train(dataset, RECIPE, out)
    train(dataset, RECIPE, out, diary)
    assert diary.epochs == [("last 4 stages", 1), ("last 4 stages", 2)]
    assert (out / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()


@pytest.mark.parametrize("target", [None, 1.0])
def test_a_disk_too_full_for_the_activations_leaves_the_head(
    target: float | None,
    finished: tuple[Path, Run, Diary],
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its features are small: what was begun of the activations may go for them, so it is in no use then."""
    write, room, used = cache._write, extraction.make_room, []

    def filling(file: FileIO, data: bytes) -> None:
        if Path(file.name).name == "rows.bin" and len(data) > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    def make_room(above: Path, needed: int, cap: int) -> list[StoreInfo]:
        used.append([one.facts["after"] for one in list_stores(above) if one.in_use])
        return room(above, needed, cap)

    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_write", filling)
    monkeypatch.setattr(extraction, "make_room", make_room)
    never_reached(monkeypatch)
    diary = Diary()
    recipe = replace(RECIPE, unfreeze=(7,), target_accuracy=target, candidates=(), time_budget_s=60)
    run = train(dataset, recipe, tmp_path / "run", diary)
    assert [step["name"] for step in run.steps] == ["head"]
    told = [note for note in diary.notes if note.startswith("Left out: all stages; No space left for the ")]
    assert len(told) == 1
    assert 0 in used[0] or target
    assert all(0 not in stores for stores in used[1:]) or target
    text = (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert "# Not repeated by these alone: all stages was left out; No space left for the feature" in text


@pytest.mark.usefixtures("generous")
def test_the_recipe_of_a_run_repeats_it(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    again = Recipe(**read_recipe(finished[0] / "recipe.toml"))
    train(dataset, again, tmp_path / "run")
    assert (tmp_path / "run" / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()


def test_the_history_is_there_for_other_tools(finished: tuple[Path, Run, Diary]) -> None:
    out, run, _ = finished
    lines = rows(out / "metrics.csv")
    assert [(line["step"], line["number"]) for line in lines] == [
        (name, number) for name in ("last 2 stages", "last 4 stages") for number in "12"
    ]
    told = [epoch["validation_loss"] for step in run.steps for epoch in step["epochs"]]
    assert [float(line["validation_loss"]) for line in lines] == told
    assert {line["learning_rate"] for line in lines} == {"0.003"}
    folders = {path.name for path in (out / "tensorboard").iterdir()}
    assert folders == {"head", "last-2-stages", "last-4-stages"}


def test_the_history_can_be_watched_while_it_grows(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(dataset, RECIPE, tmp_path / "run", Interrupting(Killed, ("last 2 stages", 2)))
    logs = tmp_path / ".run.training" / "attempt-1" / "logs"
    assert [line["number"] for line in rows(logs / "metrics.csv")] == ["1", "2"]
    assert [path.name for path in (logs / "tensorboard").iterdir()] == ["last-2-stages"]


@pytest.mark.usefixtures("generous")
def test_python_and_the_command_line_use_the_same_words(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    settings = {name: value for name, value in RECIPE.to_json().items() if value is not None}
    run = edgetl.finetune(dataset.root, tmp_path / "run", **settings)
    assert run.figures == finished[1].figures
    assert (tmp_path / "run" / MODEL).read_bytes() == (finished[0] / MODEL).read_bytes()
    with pytest.raises(
        InputError, match=r"^edgetl\.finetune has unknown keys \['lr'\]; a recipe has backbone"
    ):
        edgetl.finetune(dataset.root, tmp_path / "other", lr=1)


@pytest.mark.usefixtures("generous")
def test_ctrl_c_in_a_later_step_keeps_the_step_before(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    diary = Interrupting(KeyboardInterrupt, ("last 4 stages", 2))
    run = train(dataset, RECIPE, tmp_path / "run", diary)
    assert [step["name"] for step in run.steps] == ["head", "last 2 stages"]
    assert replace(diary.steps[-1], seconds=0, epochs=()) == replace(
        finished[2].steps[1], seconds=0, epochs=()
    )
    alone = train(dataset, replace(RECIPE, unfreeze=(2,)), tmp_path / "alone")
    assert (tmp_path / "run" / MODEL).read_bytes() == (tmp_path / "alone" / MODEL).read_bytes()
    assert run.temperature == alone.temperature


@pytest.mark.parametrize("phase", ["backbone", "features to choose by", "head"])
def test_ctrl_c_before_the_first_result_leaves_nothing(phase: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, RECIPE, tmp_path / "run", Interrupting(KeyboardInterrupt, phase))
    assert list(tmp_path.iterdir()) == []


def make_place(path: Path, kind: str) -> Path:
    if kind == "folder":
        (path / "run").mkdir()
    elif kind == "file":
        (path / "run").write_text("mine")
    elif kind == "link to nothing":
        (path / "run").symlink_to(path / "nothing")
    elif kind == "in a file":
        (path / "file").write_text("mine")
        return path / "file" / "run"
    return path / "run"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("folder", r"run' exists already\. Choose another --out, or remove it\."),
        ("file", r"run' exists already\."),
        ("link to nothing", r"run' exists already\."),
        ("in a file", r"Nothing can be written in '.*file'\. Choose another --out\."),
    ],
)
def test_a_place_that_is_taken_is_refused_before_any_work(
    kind: str, message: str, dataset: Dataset, tmp_path: Path
) -> None:
    diary, out = Diary(), make_place(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        train(dataset, RECIPE, out, diary)
    assert diary.phases == []
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_above_the_run_are_made(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, replace(RECIPE, unfreeze=()), tmp_path / "a" / "b" / "run")
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"run"}


def test_a_time_budget_that_is_too_small_leaves_the_head_and_a_note(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 1000.0)
    diary = Diary()
    run = train(dataset, RECIPE, tmp_path / "run", diary)
    assert [step["name"] for step in run.steps] == ["head"]
    assert diary.notes == [
        f"Left out: last {count} stages; 2 epochs take 2000 s of the time budget." for count in (2, 4)
    ]
    assert read_module(tmp_path / "run")


def test_a_budget_that_is_used_up_ends_the_steps(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan still saw time; the features took it."""
    seconds = iter([0.1, 0.1, 1e6])
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: next(seconds))
    diary = Diary()
    run = train(dataset, RECIPE, tmp_path / "run", diary)
    names = ("last 2 stages", "last 4 stages")
    assert diary.notes == [f"Left out: {name}; the time budget is used up." for name in names]
    assert [step.name for step in diary.steps] == ["head"]
    assert run.search["left_out"] == dict.fromkeys(names, "the time budget is used up")


def test_several_labels_are_trained_from_end_to_end(tmp_path: Path) -> None:
    """One label is on every picture, which no classifier can learn from."""
    dataset = load_dataset(colour_csv(tmp_path / "pictures"))
    run = train(dataset, replace(RECIPE, unfreeze=(2,), epochs=1), tmp_path / "run")
    assert (run.task, run.classes) == ("multi_label", ("blue", "coloured", "green", "red", "third"))
    assert set(run.figures) >= {"subset_accuracy", "macro_f1"}
    answers = rows(tmp_path / "run" / PREDICTIONS)
    assert min(float(row["coloured"]) for row in answers) > 0.5
    assert all("coloured" in row["label"].split("|") for row in answers)
    found = index(tmp_path / "run" / SPLITS)
    assert (found.task, found.fingerprint) == ("multi_label", dataset.fingerprint)
    assert read_head(tmp_path / "run").weight.shape[0] == 5


def test_a_run_is_a_backbone_with_its_own_weights_and_size(
    finished: tuple[Path, Run, Diary], dataset: Dataset
) -> None:
    out, run, _ = finished
    recipe = replace(RECIPE, backbone=str(out), weights="default", size=None, crop=None)
    job, random = prepare(dataset, recipe, Diary()), prepare(dataset, RECIPE, Diary())
    assert (job.backbone.name, job.backbone.licence) == (run.backbone, run.licence)
    assert job.preprocess == run.preprocess
    assert job.backbone.weights_id != random.backbone.weights_id
    found, tuned = job.backbone.trunk().state_dict(), read_module(out)[0].state_dict()
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in found.items())


def test_a_run_as_backbone_brings_its_own_weights(
    finished: tuple[Path, Run, Diary], dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"brings its own weights\. Leave --weights out\."):
        train(dataset, replace(RECIPE, backbone=str(finished[0])), tmp_path / "run")


def test_a_class_that_the_run_could_not_name_is_refused_before_any_work(tmp_path: Path) -> None:
    names = {"red": "red|ish"}
    dataset, diary = load_dataset(colour_folder(tmp_path / "pictures", 5, names)), Diary()
    with pytest.raises(DatasetError, match=r"dataset\.csv of a run cannot hold the class 'red\|ish'"):
        train(dataset, RECIPE, tmp_path / "run", diary)
    assert diary.phases == []


def test_names_with_spaces_and_other_letters_are_kept(tmp_path: Path) -> None:
    names = {"red": "rot & weiß", "green": "зелёный", "blue": "青 い, 色"}
    dataset = load_dataset(colour_folder(tmp_path / "dossier d’été", 6, names))
    out = tmp_path / "mein lauf, 2"
    run = train(dataset, replace(RECIPE, unfreeze=()), out)
    assert set(run.classes) == set(names.values())
    assert read_run(out).classes == run.classes
    assert index(out / SPLITS).fingerprint == dataset.fingerprint


def test_a_step_that_does_not_help_changes_no_weight(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    train(dataset, replace(RECIPE, unfreeze=(2,), learning_rate=3.0), tmp_path / "run", diary)
    worse: Step = diary.steps[-1]
    assert (worse.name, worse.kept) == ("last 2 stages", False)
    train(dataset, replace(RECIPE, unfreeze=()), tmp_path / "head")
    assert (tmp_path / "run" / MODEL).read_bytes() == (tmp_path / "head" / MODEL).read_bytes()


def test_the_record_names_where_the_pictures_were(dataset: Dataset, tmp_path: Path) -> None:
    facts: dict[str, Any] = dict(
        train(dataset, replace(RECIPE, unfreeze=()), tmp_path / "run", source=Path("/a/list.csv")).dataset
    )
    assert facts["path"] == "/a/list.csv"


def test_a_target_that_the_head_reaches_ends_the_training_there(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    run = train(dataset, replace(RECIPE, target_accuracy=0.2), tmp_path / "run", diary)
    assert [step["name"] for step in run.steps] == ["head"]
    assert [one["backbone"] for one in run.search["attempts"]] == [RECIPE.backbone]
    assert diary.notes[0].startswith("Target reached: accuracy ")


def test_a_target_that_is_missed_goes_on_with_other_backbones(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is ever sure enough here, and one backbone is not to be had."""
    never_reached(monkeypatch)
    diary = Diary()
    recipe = replace(RECIPE, unfreeze=(), target_accuracy=1.0, candidates=("nowhere", "efficientnet_lite0"))
    run = train(dataset, recipe, tmp_path / "run", diary)
    attempts = run.search["attempts"]
    names = [RECIPE.backbone, "nowhere", "efficientnet_lite0"]
    assert [one["backbone"] for one in attempts] == names
    assert "No backbone is called 'nowhere'" in attempts[1]["failed"]
    tried = [one for one in attempts if not one["failed"]]
    assert run.backbone in {one["backbone"] for one in tried}
    best = min(tried, key=lambda one: one["validation_loss"])
    assert (run.backbone, run.steps[-1]["accuracy"]) == (best["backbone"], best["accuracy"])
    assert diary.notes[-1].startswith("Target not reached: accuracy ")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def never_reached(patch: pytest.MonkeyPatch) -> None:
    """No model is ever sure enough."""
    patch.setattr("edgetl.attempt.reached", lambda accuracy, target: False)
    patch.setattr("edgetl.pursuit.reached", lambda accuracy, target: False)


@pytest.fixture(scope="module")
def resnet(dataset: Dataset, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of five stages, two fewer than those of the recipe's backbone."""
    out = tmp_path_factory.mktemp("resnet") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        patch.setattr("edgetl.attempt.fast_precision", lambda: "f32")
        train(dataset, replace(RECIPE, backbone="timm/test_resnet", unfreeze=()), out)
    return out


def test_a_later_attempt_that_fails_loses_nothing(
    resnet: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next backbone has fewer stages than the steps ask for, which is known only once it is there."""
    never_reached(monkeypatch)
    diary = Diary()
    recipe = replace(RECIPE, unfreeze=(7,), epochs=1, target_accuracy=1.0, candidates=(str(resnet),))
    run = train(dataset, recipe, tmp_path / "run", diary)
    assert run.backbone == RECIPE.backbone
    failed = run.search["attempts"][1]
    assert (failed["backbone"], failed["accuracy"]) == (str(resnet), None)
    assert failed["failed"] == "'timm/test_resnet' has 5 stages, --unfreeze asks for 7."
    assert f"{resnet} cannot be tried: {failed['failed']}" in diary.notes
    assert read_module(tmp_path / "run")


def test_a_later_attempt_that_fails_after_its_head_counts_by_what_it_had(
    resnet: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_reached(monkeypatch)
    taken, diary = iter([False, True]), Diary()

    def full_at_second(outcome: Outcome) -> None:
        if next(taken):
            raise InputError("No space left.")

    monkeypatch.setattr("edgetl.training.go_on", full_at_second)
    recipe = replace(RECIPE, unfreeze=(), target_accuracy=1.0, candidates=(str(resnet),))
    run = train(dataset, recipe, tmp_path / "run", diary)
    first, second = run.search["attempts"]
    assert (first["failed"], second["failed"]) == ("", "No space left.")
    better = min(first, second, key=lambda one: one["validation_loss"])
    assert run.steps[-1]["validation_loss"] == better["validation_loss"]
    assert f"{resnet} was not tried to its end: No space left." in diary.notes


class InterruptingTheSecond(Diary):
    """Raises after the first epoch of the second backbone."""

    def epoch(self, step: str, epoch: Epoch, of: int) -> None:
        super().epoch(step, epoch, of)
        if self.phases.count("backbone") == 2:
            raise KeyboardInterrupt


def test_ctrl_c_in_a_later_attempt_keeps_the_better_one_as_it_has_become(
    resnet: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second backbone's head is worse than what the first has, and a step makes it better."""
    never_reached(monkeypatch)
    verdicts = iter([False, True])
    monkeypatch.setattr(
        "edgetl.training.compare", lambda known, found: Comparison(next(verdicts), 0.0, 0.0, "for the test")
    )
    recipe = replace(RECIPE, unfreeze=(2,), target_accuracy=1.0, candidates=(str(resnet),))
    run = train(dataset, recipe, tmp_path / "run", InterruptingTheSecond())
    assert (run.interrupted, run.backbone) == (True, "timm/test_resnet")
    assert [one["backbone"] for one in run.search["attempts"]] == [RECIPE.backbone, str(resnet)]


class InterruptingTheThird(Diary):
    """Raises when the third backbone begins."""

    def phase(self, name: str) -> None:
        super().phase(name)
        if name == "backbone" and self.phases.count(name) == 3:
            raise KeyboardInterrupt


def test_a_budget_without_time_for_the_better_attempt_leaves_the_run_of_it(
    resnet: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_reached(monkeypatch)
    out, diary = tmp_path / "run", InterruptingTheThird()
    recipe = replace(RECIPE, unfreeze=(), target_accuracy=1.0, candidates=(str(resnet), "nowhere"))
    first = train(dataset, recipe, out, diary)
    assert (first.backbone, first.interrupted) == ("timm/test_resnet", True)
    before = (out / MODEL).read_bytes()
    monkeypatch.setattr("edgetl.training.next_recipe", lambda *given: None)
    second = train(dataset, replace(recipe, time_budget_s=1.0), out, diary)
    assert (second.backbone, second.interrupted) == ("timm/test_resnet", False)
    assert read_run(out) == second
    assert (out / MODEL).read_bytes() == before
    assert diary.notes[-1] == "The run that Ctrl-C left is better than what this time budget gave, and stays."
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.usefixtures("generous")
def test_random_weights_are_trained_from_scratch_and_their_statistics_move(
    dataset: Dataset, tmp_path: Path
) -> None:
    run = train(dataset, replace(RECIPE, unfreeze="output"), tmp_path / "run")
    assert [step["name"] for step in run.steps] == ["head", "from scratch"]
    fresh = prepare(dataset, RECIPE, Diary()).backbone.trunk().state_dict()
    found = read_module(tmp_path / "run")[0].state_dict()
    still = [name for name, tensor in fresh.items() if torch.equal(tensor, found[name])]
    assert [name for name in still if not name.endswith("num_batches_tracked")] == []


@pytest.mark.usefixtures("generous")
def test_the_side_that_was_measured_is_recorded_and_in_the_recipe(dataset: Dataset, tmp_path: Path) -> None:
    from edgetl import job as jobs

    patch = pytest.MonkeyPatch()
    patch.setattr(jobs.Job, "from_scratch", property(lambda self: False))
    try:
        run = train(dataset, replace(RECIPE, unfreeze="auto"), tmp_path / "run")
    finally:
        patch.undo()
    assert [probe["block"] for probe in run.search["probes"]] == ["input", "middle", "output"]
    assert run.recipe["unfreeze"] in ("input", "middle", "output")
    assert len(run.steps) >= 3
    assert read_recipe(tmp_path / "run" / "recipe.toml")["unfreeze"] == run.recipe["unfreeze"]


def test_overfitting_is_told_of_head_and_steps_whether_kept_or_not(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetl.gap.LIMIT", -1.1)  # Below what any gap can be.
    diary = Diary()
    run = train(dataset, replace(RECIPE, unfreeze=(2,), learning_rate=3.0), tmp_path / "run", diary)
    assert [(step["kept"], step["gap"]["overfits"]) for step in run.steps] == [(True, True), (False, True)]
    told = [note.partition(": accuracy")[0] for note in diary.notes]
    assert told == ["head: overfitting", "last 2 stages: overfitting"]


def test_no_gap_is_named_where_there_is_none(finished: tuple[Path, Run, Diary]) -> None:
    _, run, diary = finished
    assert {step["gap"]["overfits"] for step in run.steps} == {False}
    assert diary.notes == []


def test_advice_is_written_beside_what_came_of_it(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, replace(RECIPE, unfreeze=()), tmp_path / "run", advice={"plan": "head"})
    assert read_run(tmp_path / "run").search["advice"] == {"plan": "head"}


def test_a_recipe_that_time_cut_short_says_so(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "seconds_per_epoch", lambda *given: 1000.0)
    train(dataset, RECIPE, tmp_path / "run")
    text = (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")
    assert "# Not repeated by these alone: last 2 stages was left out; 2 epochs take 2000 s" in text
    reason = "2 epochs take 2000 s of the time budget"
    told = {"last 2 stages": reason, "last 4 stages": reason}
    assert read_run(tmp_path / "run").search["left_out"] == told
