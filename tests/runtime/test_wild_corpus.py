"""Every file of a wild corpus ends in a prediction or in a typed error, in bounded time and memory."""

import hashlib
import sys
import time

import numpy as np
import pytest
from tiny_bundle import tiny_bundle
from wild_corpus import wild_corpus

from edgetl_runtime import PictureError, Session

MAX_SECONDS = 2.0  # of this thread's own processor time
MAX_GROWTH_BYTES = 300 * 2**20
EXTENSIONS = ("jpg", "png", "tiff", "txt", "webp", "")


def peak_bytes():
    resource = pytest.importorskip("resource", reason="peak memory is told by POSIX systems")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def check(files, tmp_path):
    """Predict every file, under a name that lies about its format; returns how many gave a prediction."""
    answered, slow = 0, {}
    with Session.open(tiny_bundle(tmp_path / "bundle"), variant="onnx-fp32") as session:
        before = peak_bytes()
        for number, (name, data) in enumerate(files):
            path = tmp_path / f"{number}.{EXTENSIONS[number % len(EXTENSIONS)]}"
            path.write_bytes(data)
            started = time.thread_time()
            try:
                found = session.predict(path)
            except PictureError as error:
                assert str(path) in str(error), name
            else:
                answered += 1
                assert found.label in session.labels, name
                assert np.isfinite(found.logits).all(), name
            taken = time.thread_time() - started
            if taken > MAX_SECONDS:
                slow[name] = taken
            path.unlink()
        assert slow == {}
        assert peak_bytes() - before <= MAX_GROWTH_BYTES
    return answered


def test_a_sample_of_the_corpus_is_answered_or_refused(tmp_path):
    files = list(wild_corpus())
    assert len(files) >= 2_000
    assert len({name for name, _ in files}) == len(files)
    hostile = files[-29:]
    sample = files[:: len(files) // 180] + hostile
    assert len(sample) >= 200
    assert check(sample, tmp_path) >= 40


@pytest.mark.slow
def test_the_whole_corpus_is_answered_or_refused(tmp_path):
    files = list(wild_corpus())
    assert check(files, tmp_path) >= 500


@pytest.mark.slow
def test_the_corpus_is_the_same_every_time():
    def digest():
        whole = hashlib.sha256()
        for name, data in wild_corpus():
            whole.update(name.encode() + b"\0" + data)
        return whole.hexdigest()

    assert digest() == digest()
