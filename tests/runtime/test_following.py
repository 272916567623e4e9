"""An app that is never restarted goes with every switch."""

import logging
import threading
from functools import partial

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime import Session
from edgetl_runtime.errors import BundleError, EngineError
from edgetl_runtime.following import follow
from edgetl_runtime.installation import install, rollback

ONNX = partial(Session.open, variant="onnx-fp32")
OTHERS = ("rot", "gruen", "blau")


@pytest.fixture
def folder(tmp_path):
    """Slots whose bundle answers in English; one that answers in German lies beside it."""
    tiny_bundle(tmp_path / "german", classes=OTHERS)
    install(tiny_bundle(tmp_path / "english"), tmp_path / "slots")
    return tmp_path / "slots"


def test_a_follower_answers_with_the_new_bundle_after_a_switch(tmp_path, folder):
    red = write_colour(tmp_path / "red.png", "red")
    follower = follow(folder, open_session=ONNX)
    assert follower.predict(red).label == "red"
    session = follower.session
    assert follower.predict(red).label == "red"
    assert follower.session is session
    install(tmp_path / "german", folder)
    assert follower.predict(red).label == "rot"
    rollback(folder)
    assert follower.predict(red).label == "red"
    assert follower.failure is None


def test_switches_may_be_followed_when_it_suits_the_app(tmp_path, folder):
    red = write_colour(tmp_path / "red.png", "red")
    follower = follow(folder, open_session=ONNX, automatic=False)
    assert not follower.refresh()
    install(tmp_path / "german", folder)
    assert follower.predict(red).label == "red"
    assert follower.refresh()
    assert follower.predict(red).label == "rot"
    assert not follower.refresh()


def test_a_new_bundle_that_cannot_be_opened_is_told_and_the_old_one_answers(tmp_path, folder, caplog):
    red = write_colour(tmp_path / "red.png", "red")
    follower = follow(folder, open_session=ONNX)
    install(tmp_path / "german", folder)
    (folder / "b/onnx/model.onnx").write_bytes(b"rotten")
    with caplog.at_level(logging.ERROR):
        assert follower.predict(red).label == "red"
        assert follower.predict(red).label == "red"
    assert len(caplog.records) == 1
    assert "the new bundle is not used" in caplog.text
    assert isinstance(follower.failure, BundleError)
    with pytest.raises(BundleError, match="has 6 bytes where"):
        follower.refresh()
    rollback(folder)
    assert follower.predict(red).label == "red"
    assert follower.failure is None


def test_an_app_may_say_how_a_bundle_is_opened(folder):
    with pytest.raises(EngineError, match="has no device 'toaster'"):
        follow(folder, open_session=partial(Session.open, variant="onnx-fp32", device="toaster"))


def test_a_follower_needs_slots_or_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="There is no bundle"):
        follow(tmp_path / "nowhere")


def test_slots_that_vanish_leave_the_session_that_is_open(tmp_path, folder, caplog):
    red = write_colour(tmp_path / "red.png", "red")
    follower = follow(folder, open_session=ONNX)
    (folder / "slots.json").unlink()
    assert follower.predict(red).label == "red"
    assert isinstance(follower.failure, BundleError)
    assert caplog.records


def test_threads_get_whole_answers_while_bundles_are_switched(tmp_path, folder):
    """Every answer is one of the two bundles', for the right colour, and no call fails."""
    pictures = [write_colour(tmp_path / f"{colour}.png", colour) for colour in CLASSES]
    follower = follow(folder, open_session=ONNX)
    stop, wrong, answers = threading.Event(), [], set()

    def ask():
        while not stop.is_set():
            for number, picture in enumerate(pictures):
                label = follower.predict(picture).label
                answers.add(label)
                if label not in (CLASSES[number], OTHERS[number]):
                    wrong.append(label)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    install(tmp_path / "german", folder)
    for _ in range(4):
        rollback(folder)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert answers <= {*CLASSES, *OTHERS}
    assert follower.failure is None
