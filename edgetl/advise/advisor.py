"""The advice from end to end: look at the pictures, choose a backbone, measure what it is worth, make a plan.

Reads top to bottom as it happens. Each measurement is in the file that it is named after.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.advise.backbones import Candidate
from edgetl.advise.contest import extract_features, hold
from edgetl.advise.data import DataFacts, Suspicions, data_facts, suspect
from edgetl.advise.plan import SIGNAL_P, SMALL_INPUT, Facts, Plan, make_plan
from edgetl.advise.probe import Gain, Probed, probe
from edgetl.advise.race import Race, race
from edgetl.advise.random_features import random_backbone
from edgetl.advise.reference import reference_distances
from edgetl.advise.request import Request
from edgetl.advise.resources import Resources, measure_speeds, resources
from edgetl.advise.sample import TRIAL_PICTURES, Features, as_array, choose, part
from edgetl.advise.similarity import Similarity, similarity
from edgetl.advise.trials import try_approaches
from edgetl.backbones import Backbone
from edgetl.dataset import Dataset, check_names
from edgetl.events import Watcher
from edgetl.features import PLAIN, Extractor
from edgetl.forward import fast_precision
from edgetl.job import halves_of
from edgetl.run import is_run
from edgetl_runtime.pictures import Picture
from edgetl_runtime.strict_json import well_formed

# Validation and test pictures that are compared with the training ones, and pictures that norms are fitted
# to.
_COMPARED = 2_000
_PIXELS = 48
# The share of the time budget that the race may take.
_RACE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Advice:
    """All that was measured, and the plan.

    backbone: the one that was chosen. candidates: the best first, those left out last. race: None where there
    was none. gains, unprobed, over_staged: see `trials.Tried`.
    """

    backbone: str
    data: DataFacts
    candidates: tuple[Candidate, ...]
    race: Race | None
    similarity: Similarity
    suspicions: Suspicions
    resources: Resources
    gains: Mapping[str, Gain]
    unprobed: Mapping[str, str]
    over_staged: Mapping[str, Gain]
    plan: Plan
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON has it, with the properties that the plan was made by."""
        facts = asdict(self)
        facts["similarity"] |= {"shallow": self.similarity.shallow, "deep": self.similarity.deep}
        plain: dict[str, Any] = _plain(facts)
        return plain


def give_advice(dataset: Dataset, request: Request, watcher: Watcher | None = None) -> Advice:
    """Measure what decides transfer, and plan.

    Raises:
        InputError: no backbone can be had or is within the limits, or no training could take these pictures.
    """
    check_names(dataset)  # Trials and the training would refuse them too, after all features.
    halves_of(dataset)
    begun, watcher = time.monotonic(), watcher or Watcher()
    watcher.phase("pictures")
    found = data_facts(dataset)
    train = choose(dataset.train, request.pictures)
    contest = hold(dataset, train, request, watcher)
    ranked = contest.ranked()
    raced = _race(dataset, [one for one in ranked if not one.left_out], request, watcher)
    name = raced.order[0] if raced else ranked[0].name
    backbone, features = contest.opened[name], contest.features[name]
    watcher.phase("pretrained against random features")
    near = _similarity(backbone, train, features, request)
    watcher.phase("near duplicates and doubtful labels")
    has_signal = near.signal_p <= SIGNAL_P
    suspicions = _suspicions(dataset, backbone, train, features, has_signal, watcher)
    watcher.phase("speed of this machine")
    speeds = measure_speeds(backbone, train, len(dataset.classes))
    machine = _without_scratch(resources(speeds, len(dataset.train), len(dataset.val), request), name)
    facts = _facts(found, backbone, near, machine)
    tried = try_approaches(dataset, name, facts, speeds, request, watcher.phase)
    order = raced.order if raced else ()
    return Advice(
        backbone=name,
        data=found,
        candidates=tuple(sorted(ranked, key=lambda one: _place(one, order))),
        race=raced,
        similarity=near,
        suspicions=suspicions,
        resources=machine,
        gains=tried.gains,
        unprobed=tried.unprobed,
        over_staged=tried.over_staged,
        plan=make_plan(replace(facts, gains=tried.gains, over_staged=tried.over_staged)),
        seconds=time.monotonic() - begun,
    )


def _race(dataset: Dataset, judged: Sequence[Candidate], request: Request, watcher: Watcher) -> Race | None:
    """Race the best three, where there are two and trials are allowed."""
    names = [one.name for one in judged]
    if not request.trials or len(names) < 2:
        return None
    few = part(dataset, TRIAL_PICTURES, 2 * TRIAL_PICTURES)

    def trial(name: str, epochs: int, seconds: float) -> Probed:
        watcher.phase(f"race: {name}, {epochs} epochs a step")
        return probe(few, request.recipe(backbone=name, epochs=epochs), seconds)

    found = race(names[:3], trial, _RACE_SHARE * request.time_budget_s)
    return replace(found, order=(*found.order, *names[3:]))


def _similarity(
    backbone: Backbone, train: Sequence[Picture], pretrained: Features, request: Request
) -> Similarity:
    preprocess = backbone.native.preprocess()
    pixels = np.stack([preprocess(one.path) for one in choose(train, _PIXELS)])
    drawn = random_backbone(backbone, pixels, request.seed)
    rows = Extractor(drawn, preprocess, (), fast_precision())(train, (PLAIN,)).features[0]
    random = replace(pretrained, values=as_array(rows))
    return similarity(pretrained, random, reference_distances(backbone, pixels), request.seed)


def _suspicions(
    dataset: Dataset,
    backbone: Backbone,
    train: Sequence[Picture],
    features: Features,
    has_signal: bool,
    watcher: Watcher,
) -> Suspicions:
    others = choose((*dataset.val, *dataset.test), _COMPARED)
    values = np.concatenate([features.values, extract_features(dataset, backbone, others, watcher).values])
    return suspect((*train, *others), values, features, dataset.classes, has_signal=has_signal)


def _without_scratch(machine: Resources, name: str) -> Resources:
    """Leave out of the minutes what a run as backbone cannot do: it has no random weights."""
    if not is_run(name):
        return machine
    return replace(
        machine, minutes={one: value for one, value in machine.minutes.items() if one != "scratch"}
    )


def _facts(data: DataFacts, backbone: Backbone, near: Similarity, machine: Resources) -> Facts:
    return Facts(
        train=data.splits["train"],
        smallest=data.smallest,
        side=data.sides[1],
        size=backbone.native.size,
        stages=len(backbone.stages),
        # Either kind of features may find it: twice the smaller p-value keeps its promise (Bonferroni).
        signal_p=min(1.0, 2 * min(near.signal_p, near.random_signal_p)),
        lift_low=near.ridge.low,
        lift_high=near.ridge.high,
        accuracy=near.ridge.pretrained,
        shallow=near.shallow,
        deep=near.deep,
        minutes=machine.minutes,
        budget=machine.budget_minutes,
        takes_small=not backbone.why_not(SMALL_INPUT),
    )


def _plain(value: Any) -> Any:  # What `asdict` gives, of any depth.
    """Turn paths into texts and what is no number into null: a run that says what it was advised is JSON."""
    if isinstance(value, Mapping):
        return {well_formed(str(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, str | Path):
        return well_formed(str(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(candidate: Candidate, order: Sequence[str]) -> tuple[bool, float]:
    """Sort by the race where there was one, else by the rank; what was left out goes last."""
    if candidate.name in order:
        return False, order.index(candidate.name)
    return bool(candidate.left_out), candidate.mean_rank
