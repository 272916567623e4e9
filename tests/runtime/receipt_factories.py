"""Receipts for tests: small, complete, and decided by the arrays that a test shows."""

import hashlib
from dataclasses import replace

import numpy as np

from edgetl_runtime.environment import Environment
from edgetl_runtime.metrics import Figure
from edgetl_runtime.pictures import Unreadable
from edgetl_runtime.predictions import Predictions
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt


def tiny_hashes(n, salt=""):
    return tuple(hashlib.sha256(f"{salt}{k}".encode()).hexdigest() for k in range(n))


def tiny_predictions(target, predicted, *, classes=2, sha256=None, confidence=None, probabilities=None):
    target, predicted = np.array(target), np.array(predicted)
    n = len(target)
    return Predictions(
        classes=classes,
        sha256=tiny_hashes(n) if sha256 is None else tuple(sha256),
        target=target,
        predicted=predicted,
        confidence=np.full(n, 0.75) if confidence is None else np.array(confidence),
        probabilities=probabilities,
    )


def tiny_receipt(predictions, *, classes=("cat", "dog"), per_class=None, errors=(), **changes):
    n = len(predictions)
    share = float(predictions.right.mean())
    receipt = Receipt(
        created="2026-11-23T20:15:00+00:00",
        bundle=BundleId(id="ab" * 32, name="pets"),
        variant="onnx-int8",
        device="cpu",
        dataset=DatasetId(name="pets", fingerprint="cd" * 32, n=n, split="test"),
        task=predictions.task,
        classes=classes,
        figures={"accuracy": Figure("accuracy", share, 0.0, 1.0, n)},
        per_class=per_class or {},
        latency={stage: Latency(1.0, 2.0, 3.5, n) for stage in ("preprocess", "infer", "total")},
        size_bytes=4_000_000,
        environment=Environment("Toaster", ("avx2",), 2, "Linux", "x86_64", "CPython 3.11", {"numpy": "2.4"}),
        errors=tuple(Unreadable(path, reason) for path, reason in errors),
        predictions=predictions,
    )
    return replace(receipt, **changes)


def flipped(lost, gained, both, neither=0):
    """Two receipts of which the second loses and gains so many of the pictures, all of class 0."""
    before = [0] * lost + [1] * gained + [0] * both + [1] * neither
    after = [1] * lost + [0] * gained + [0] * both + [1] * neither
    target = [0] * len(before)
    return tuple(tiny_receipt(tiny_predictions(target, answers)) for answers in (before, after))
