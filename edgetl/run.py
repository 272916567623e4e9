"""The folder that a training leaves: enough by itself to export, to go on from, and to tell its origin.

model.safetensors   the backbone's stages and the head
run.json            everything else that is a fact
dataset.csv         every picture, its label and its split: validate on this
recipe.toml         the settings, resolved: --recipe takes it to repeat the run
predictions.csv     the answers on the verifying half of validation
metrics.csv         a line for each epoch; tensorboard/ has the same where that package is installed
learning_curve.svg  to look at, as is confusion.svg
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from edgetl.backbones import Backbone, create_backbone, state_id
from edgetl.checkpoint import under
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Task
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.strict_json import JSON, Fields, parse

FORMAT_VERSION = 1
MODEL, FACTS = "model.safetensors", "run.json"
PREDICTIONS, SPLITS = "predictions.csv", "dataset.csv"


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says.

    backbone: the name that makes the network. preprocess, mean, std: what it is fed. temperature: of the
    logits, fitted on the choosing half of validation. dataset: path, fingerprint, counts and flaws. recipe:
    settings. steps: those tried, see `events.Step`. figures: of the verifying half. interrupted: by Ctrl-C.
    licence: of the pretrained weights. search: how these settings were found: attempts, probes, advice;
    and the steps that were left out, with the reason.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    backbone: str
    width: int
    preprocess: Preprocess
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float
    licence: str
    dataset: Mapping[str, Any]
    recipe: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    figures: Mapping[str, Any]
    environment: Mapping[str, Any]
    interrupted: bool = False
    search: Mapping[str, Any] = field(default_factory=dict)


def is_run(name: str) -> bool:
    """Tell whether a backbone's name is the folder of a run."""
    return Path(name, FACTS).is_file()


def write_run(folder: Path, run: Run, backbone: Backbone, head: nn.Linear) -> None:
    """Write facts and weights into a folder that is being filled.

    Raises:
        ValueError: `read_run` would not read these facts; nothing takes the place of a run then.
    """
    weights = {
        f"backbone.{name}": tensor.contiguous() for name, tensor in backbone.trunk().state_dict().items()
    }
    weights |= {f"head.{name}": tensor.contiguous() for name, tensor in head.state_dict().items()}
    (folder / MODEL).write_bytes(save(weights))
    facts = asdict(run) | {"format_version": FORMAT_VERSION, "preprocess": run.preprocess.to_steps()}
    text = json.dumps(facts, indent=2) + "\n"
    try:
        _run(parse(text, FACTS, InputError))
    except InputError as error:
        raise ValueError(
            f"{error} The checkpoints are kept, and the same command goes on from them"
        ) from error
    (folder / FACTS).write_text(text, encoding="utf-8")


def write_predictions(
    folder: Path, pictures: Sequence[Picture], classes: Sequence[str], probabilities: NDArray[Any]
) -> None:
    """Write a line for each picture: its hash, its labels, and the probability, 0–1, of each class."""
    with (folder / PREDICTIONS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sha256", "path", "label", *classes])
        for picture, row in zip(pictures, probabilities, strict=True):
            writer.writerow(
                [picture.sha256, picture.path, "|".join(picture.labels), *(f"{p:.6f}" for p in row)]
            )


def read_run(folder: Path) -> Run:
    """Read the facts of a run.

    Raises:
        InputError: no run is there, or it is damaged or of a newer version.
    """
    try:
        text = (folder / FACTS).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} is no run: {error}. Make one with: edgetl train DATA --out RUN"
        ) from error
    except ValueError as error:
        raise _damaged(folder, f"{FACTS} is no text ({error})") from error
    try:
        facts = parse(text, FACTS, InputError)
        version = facts.get("format_version") if isinstance(facts, dict) else None
        if type(version) is not int or version <= FORMAT_VERSION:
            return _run(facts)
    except InputError as error:
        raise _damaged(folder, str(error).rstrip(".")) from error
    raise InputError(
        f"The run {str(folder)!r} has format {version}; this edgetl reads {FORMAT_VERSION}. Upgrade it."
    )


def _run(facts: JSON) -> Run:
    known = ["format_version", *(one.name for one in fields(Run))]
    f = Fields(facts, FACTS, known, InputError)
    if (
        f.integer("format_version") != FORMAT_VERSION
        or f.integer("width") < 1
        or f.number("temperature") <= 0
    ):
        raise InputError(f"{FACTS} has a format_version, width or temperature that is not positive.")
    steps = tuple(step for step in f.list("steps") if isinstance(step, dict))
    mean, std = f.numbers("mean"), f.numbers("std")
    interrupted = f.value("interrupted")
    if (
        len(steps) != len(f.list("steps"))
        or len(mean) != 3
        or len(std) != 3
        or not isinstance(interrupted, bool)
    ):
        raise InputError(f"{FACTS} has steps, mean, std or interrupted of another form.")
    return Run(
        name=f.text("name"),
        task=f.choice("task", get_args(Task)),
        classes=f.texts("classes"),
        backbone=f.text("backbone"),
        width=f.integer("width"),
        preprocess=Preprocess.from_steps(f.list("preprocess")),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        temperature=f.number("temperature"),
        licence=f.text("licence"),
        dataset=f.object("dataset"),
        recipe=f.object("recipe"),
        steps=steps,
        figures=f.object("figures"),
        environment=f.object("environment"),
        interrupted=interrupted,
        search=f.object("search"),
    )


def read_backbone(folder: Path) -> Backbone:
    """Make the run's backbone with its trained weights; `name` stays that of the network."""
    run = read_run(folder)
    backbone = create_backbone(run.backbone, weights="none")
    _load(backbone.trunk(), folder, "backbone.")
    native = replace(backbone.native, size=run.preprocess.size, crop=run.preprocess.crop)
    return replace(
        backbone, licence=run.licence, native=native, weights_id=state_id(backbone.trunk().state_dict())
    )


def read_head(folder: Path) -> nn.Linear:
    """Make the run's head."""
    run = read_run(folder)
    head = nn.Linear(run.width, len(run.classes))
    _load(head, folder, "head.")
    return head.eval()


def read_module(folder: Path) -> nn.Sequential:
    """Make the whole network: normalised pictures, (n, 3, size, size), to logits, (n, classes)."""
    return nn.Sequential(read_backbone(folder).trunk(), read_head(folder)).eval()


def _load(module: nn.Module, folder: Path, prefix: str) -> None:
    try:
        module.load_state_dict(under(prefix, load_file(folder / MODEL)))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _damaged(folder, f"{MODEL} ({error})") from error


def _damaged(folder: Path, what: str) -> InputError:
    return InputError(f"The run {str(folder)!r} is damaged: {what}. Train again.")


def environment_facts() -> dict[str, Any]:
    """Describe machine and software, torch among it, for the record."""
    from edgetl_runtime.environment import read_environment

    facts = asdict(read_environment())
    facts["versions"] = dict(facts["versions"]) | {"torch": torch.__version__}
    return facts
