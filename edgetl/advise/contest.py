"""The backbones that come into question: opened, held against the limits, their features judged.

Where nobody named any, the best of the installed ones competes once more, with features of all its depths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgetl.advise.backbones import Candidate, admit, candidate_names, judge, open_candidate, rank
from edgetl.advise.request import Request
from edgetl.advise.sample import Features, as_array, one_hot
from edgetl.backbones import Backbone
from edgetl.backbones.depths import SUFFIX
from edgetl.dataset import Dataset
from edgetl.events import Watcher
from edgetl.features import PLAIN, Extractor
from edgetl.forward import fast_precision
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture


@dataclass(slots=True)
class Contest:
    """What is known of the backbones so far.

    train: the pictures they are judged by. opened, features: of those within the limits, by name.
    """

    dataset: Dataset
    train: Sequence[Picture]
    request: Request
    watcher: Watcher
    opened: dict[str, Backbone] = field(default_factory=dict)
    features: dict[str, Features] = field(default_factory=dict)
    _judged: list[Candidate] = field(default_factory=list)
    _refused: list[Candidate] = field(default_factory=list)

    def consider(self, name: str) -> None:
        """Judge a backbone, or leave it out and say why: a limit, or a size that it cannot take."""
        self.watcher.phase(f"{name}, features of {len(self.train):,} pictures")
        recipe, opened = self.request.recipe(), open_candidate(name)
        if reason := opened.why_not(recipe.size or opened.native.size):
            self._refuse(Candidate(name, opened.top1, None, left_out=f"it cannot take {reason}"))
            return
        backbone = opened.with_input(recipe.size, recipe.crop)
        candidate = admit(name, backbone, len(self.dataset.classes), self.request.limits)
        if candidate.left_out:
            self._refuse(candidate)
            return
        self.opened[name] = backbone
        self.features[name] = extract_features(self.dataset, backbone, self.train, self.watcher)
        self._judged.append(judge(candidate, self.features[name]))

    def ranked(self) -> tuple[Candidate, ...]:
        """Return all, best first; those left out go last.

        Raises:
            InputError: all are left out.
        """
        if not self._judged:
            reasons = "; ".join(f"{one.name}: {one.left_out}" for one in self._refused)
            raise InputError(
                f"No backbone is left ({reasons}). Raise the limits, ask for another size, or name others."
            )
        return (*rank(self._judged), *self._refused)

    def _refuse(self, candidate: Candidate) -> None:
        self._refused.append(candidate)
        self.watcher.note(f"Left out: {candidate.name}; {candidate.left_out}.")


def hold(dataset: Dataset, train: Sequence[Picture], request: Request, watcher: Watcher) -> Contest:
    """Consider all that come into question.

    Raises:
        InputError: a backbone cannot be had, or all are left out.
    """
    contest = Contest(dataset, train, request, watcher)
    for name in candidate_names(request.backbones):
        contest.consider(name)
    best = contest.ranked()[0].name
    if not request.backbones:
        contest.consider(best + SUFFIX)
    return contest


def extract_features(
    dataset: Dataset, backbone: Backbone, pictures: Sequence[Picture], watcher: Watcher
) -> Features:
    """Return the features of pictures, each as it is, and their labels."""
    extract = Extractor(backbone, backbone.native.preprocess(), (), fast_precision())
    rows = extract(pictures, (PLAIN,), watcher.progress).features[0]
    return Features(as_array(rows), one_hot(dataset, pictures), dataset.task == "multi_label")
