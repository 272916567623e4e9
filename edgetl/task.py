"""What differs between tasks: the loss, the probabilities, the right answers and the counts of classes.

Targets are int64 class numbers (n,) for single-label pictures, float32 zeros and ones (n, classes) for
multi-label ones. Logits are (n, classes) float32, unnormalised.
"""

from typing import Any, Protocol

import numpy as np
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax
from torch import Tensor

from edgetl_runtime.pictures import Task

Floats = NDArray[Any]


class TaskRules(Protocol):
    """What training asks of a task."""

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """Return the mean loss; weights: (classes,) of the classes; smoothing: of the labels, in [0, 1)."""
        ...

    def log_losses(self, logits: Floats, targets: Floats) -> Floats:
        """Return the cross entropy of each picture, (n,), in nats."""
        ...

    def probabilities(self, logits: Floats) -> Floats:
        """Return (n, classes) in 0–1."""
        ...

    def correct(self, logits: Floats, targets: Floats) -> NDArray[np.bool_]:
        """Tell for each picture whether the answer is right; a multi-label one in all its labels."""
        ...

    def decide(self, logits: Floats) -> NDArray[Any]:
        """Return the answers in the form of `edgetl_runtime.metrics`: numbers (n,), or bool (n, classes)."""
        ...

    def hard(self, targets: Floats) -> NDArray[Any]:
        """Return the targets in the form of `decide`."""
        ...

    def counts(self, targets: Floats, classes: int) -> Floats:
        """Count the pictures of each class, (classes,)."""
        ...

    def picture_weights(self, targets: Floats, weights: Floats) -> Floats:
        """Return the weight of each picture, (n,), from those of the classes, (classes,)."""
        ...


class SingleLabel:
    """Exactly one class a picture: softmax."""

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """See `TaskRules.loss`."""
        return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)

    def log_losses(self, logits: Floats, targets: Floats) -> Floats:
        """See `TaskRules.log_losses`."""
        chosen: Floats = log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
        return -chosen

    def probabilities(self, logits: Floats) -> Floats:
        """See `TaskRules.probabilities`."""
        result: Floats = softmax(logits, axis=1)
        return result

    def correct(self, logits: Floats, targets: Floats) -> NDArray[np.bool_]:
        """See `TaskRules.correct`."""
        result: NDArray[np.bool_] = logits.argmax(axis=1) == targets
        return result

    def decide(self, logits: Floats) -> NDArray[Any]:
        """See `TaskRules.decide`."""
        decided: NDArray[np.int64] = logits.argmax(axis=1)
        return decided

    def hard(self, targets: Floats) -> NDArray[Any]:
        """See `TaskRules.hard`."""
        return targets

    def counts(self, targets: Floats, classes: int) -> Floats:
        """See `TaskRules.counts`."""
        return np.bincount(targets, minlength=classes).astype(np.float64)

    def picture_weights(self, targets: Floats, weights: Floats) -> Floats:
        """See `TaskRules.picture_weights`."""
        result: Floats = weights[targets]
        return result


class MultiLabel:
    """Any number of classes a picture: a sigmoid for each, decided at one half."""

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
        """See `TaskRules.loss`; the weights are those of the positive examples."""
        soft = targets * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=weights)

    def log_losses(self, logits: Floats, targets: Floats) -> Floats:
        """See `TaskRules.log_losses`: the mean over the classes."""
        losses: Floats = (np.logaddexp(0, logits) - targets * logits).mean(axis=1)
        return losses

    def probabilities(self, logits: Floats) -> Floats:
        """See `TaskRules.probabilities`."""
        result: Floats = expit(logits)
        return result

    def correct(self, logits: Floats, targets: Floats) -> NDArray[np.bool_]:
        """See `TaskRules.correct`."""
        result: NDArray[np.bool_] = (self.decide(logits) == self.hard(targets)).all(axis=1)
        return result

    def decide(self, logits: Floats) -> NDArray[Any]:
        """See `TaskRules.decide`."""
        decided: NDArray[np.bool_] = logits >= 0
        return decided

    def hard(self, targets: Floats) -> NDArray[Any]:
        """See `TaskRules.hard`."""
        hard: NDArray[np.bool_] = targets > 0.5
        return hard

    def counts(self, targets: Floats, classes: int) -> Floats:
        """See `TaskRules.counts`."""
        result: Floats = targets.sum(axis=0)
        return result

    def picture_weights(self, targets: Floats, weights: Floats) -> Floats:
        """See `TaskRules.picture_weights`: all pictures count the same."""
        return np.ones(len(targets))


TASKS: dict[Task, TaskRules] = {"single_label": SingleLabel(), "multi_label": MultiLabel()}


def weigh_classes(task: Task, targets: Floats, classes: int, mode: str) -> NDArray[np.float32]:
    """Weigh the classes of training pictures with these targets, (classes,); see `class_weights`."""
    return class_weights(TASKS[task].counts(targets, classes), mode)


def class_weights(counts: Floats, mode: str) -> NDArray[np.float32]:
    """Weigh classes so that each counts the same, mean weight 1 over pictures: n / (classes × count).

    Args:
        counts: pictures of each class, (classes,), none zero.
        mode: "balanced", "none", or "auto": balanced once the largest class has 1.5 × the smallest.
    """
    skewed = counts.max() > 1.5 * counts.min()
    if mode == "none" or (mode == "auto" and not skewed):
        return np.ones(len(counts), np.float32)
    weights: NDArray[np.float32] = (counts.sum() / (len(counts) * counts)).astype(np.float32)
    return weights
