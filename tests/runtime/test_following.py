"""An app that is never restarted goes with every switch, and starts with what works."""

import gc
import logging
import os
import threading
import weakref
from functools import partial

import pytest
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime import Session, validate
from edgetl_runtime.engines.ort import OrtEngine
from edgetl_runtime.errors import BundleError, EngineError, InputError, ProofError, SignatureError
from edgetl_runtime.following import follow
from edgetl_runtime.installation import install, rollback
from edgetl_runtime.signature import PublicKey

ONNX = partial(Session.open, variant="onnx-fp32")
OTHERS = ("rot", "gruen", "blau")


def no_proof(bundle):
    """For tests of what an app does."""


@pytest.fixture
def folder(tmp_path):
    """Slots whose bundle answers in English; one that answers in German lies beside it."""
    tiny_bundle(tmp_path / "german", classes=OTHERS)
    install(tiny_bundle(tmp_path / "english"), tmp_path / "slots", prove=no_proof)
    return tmp_path / "slots"


@pytest.fixture
def red(tmp_path):
    return write_colour(tmp_path / "red.png", "red")


def test_a_session_of_slots_answers_with_the_new_bundle_after_a_switch(tmp_path, folder, red):
    with ONNX(folder) as session:
        first = session.current
        assert session.predict(red).label == "red"
        assert session.current is first
        install(tmp_path / "german", folder, prove=no_proof)
        assert session.predict(red).label == "rot"
        rollback(folder, prove=no_proof)
        assert session.predict(red).label == "red"
        assert session.failure is None


def test_a_session_of_slots_has_all_that_a_session_has(tmp_path, folder, red):
    with ONNX(folder) as session:
        assert isinstance(session, Session)
        install(tmp_path / "german", folder, prove=no_proof)
        assert session.labels == session.manifest.classes == OTHERS
        assert (session.variant.name, session.device, session.batch) == ("onnx-fp32", "cpu", 1)
        assert session.proof.ok
        assert (session.skipped, session.choice) == ((), None)
        assert session.opening_ms > 0
        assert [answer.label for answer in session.predict([red])] == ["rot"]
        logits, probabilities = session.infer(session.preprocess(red)[None])
        assert session.to_prediction(logits[0], probabilities[0]).label == "rot"
        with pytest.raises(AttributeError, match="'Session' object has no attribute 'lables'"):
            session.lables  # noqa: B018
    with pytest.raises(InputError, match="The session is closed"):
        session.predict(red)


def test_a_stream_goes_with_a_switch_between_two_pictures(tmp_path, folder, red):
    def pictures():
        yield red
        install(tmp_path / "german", folder, prove=no_proof)
        yield red

    with ONNX(folder) as session:
        assert [answer.label for answer in session.stream(pictures(), ahead=1)] == ["red", "rot"]


def test_what_is_held_on_to_stays_with_its_bundle(tmp_path, folder, red):
    with ONNX(folder) as session:
        held = session.current
        install(tmp_path / "german", folder, prove=no_proof)
        assert (held.predict(red).label, held.current, held.refresh()) == ("red", held, False)
        assert session.predict(red).label == "rot"


def test_a_session_may_stay_with_the_bundle_that_is_in_use_now(tmp_path, folder, red):
    with ONNX(folder, follow=False) as session:
        install(tmp_path / "german", folder, prove=no_proof)
        assert session.predict(red).label == "red"


def test_one_bundle_is_validated_whatever_is_installed_meanwhile(tmp_path, folder):
    for colour in CLASSES:
        write_colour(tmp_path / f"data/{colour}/0.png", colour)
    with ONNX(folder) as session:
        before = session.bundle.id
        receipt = validate(
            session,
            tmp_path / "data",
            progress=lambda *_: install(tmp_path / "german", folder, prove=no_proof),
        )
        assert (receipt.bundle.id, receipt.figures["accuracy"].value) == (before, 1.0)
        assert session.bundle.id != before


def test_a_session_that_was_replaced_goes_with_its_last_user(tmp_path, folder, red):
    with ONNX(folder) as session:
        before = weakref.ref(session.current)
        install(tmp_path / "german", folder, prove=no_proof)
        session.predict(red)
        gc.collect()
        assert before() is None


def test_switches_may_be_followed_when_it_suits_the_app(tmp_path, folder, red):
    session = follow(folder, open_session=ONNX, automatic=False)
    assert not session.refresh()
    install(tmp_path / "german", folder, prove=no_proof)
    assert session.predict(red).label == "red"
    assert session.refresh()
    assert session.predict(red).label == "rot"
    assert not session.refresh()


def test_a_new_bundle_that_cannot_be_opened_is_told_and_the_old_one_answers(tmp_path, folder, red, caplog):
    session = ONNX(folder)
    install(tmp_path / "german", folder, prove=no_proof)
    (folder / "b/onnx/model.onnx").write_bytes(b"rotten")
    with caplog.at_level(logging.ERROR):
        assert session.predict(red).label == "red"
        assert session.predict(red).label == "red"
    assert len(caplog.records) == 1
    assert "the new bundle is not used" in caplog.text
    assert isinstance(session.failure, BundleError)
    with pytest.raises(BundleError, match="has 6 bytes where"):
        session.refresh()
    rollback(folder, prove=no_proof)
    assert session.predict(red).label == "red"
    assert session.failure is None


def fails_now(folder, monkeypatch):
    """Let the bundle in use fail its proof, as after an update of a driver; the one before still holds."""
    run = OrtEngine.run

    def wrong(engine, images):
        logits, probabilities = run(engine, images)
        return logits + (engine._model.parent.parent.name == "b"), probabilities

    monkeypatch.setattr(OrtEngine, "run", wrong)


def damaged(folder, monkeypatch):
    (folder / "b/onnx/model.onnx").write_bytes(b"rotten")


@pytest.mark.parametrize(("harm", "error"), [(fails_now, ProofError), (damaged, BundleError)])
def test_an_app_starts_with_the_bundle_before_where_the_one_in_use_cannot_be_used(
    tmp_path, folder, red, monkeypatch, caplog, harm, error
):
    install(tmp_path / "german", folder, prove=no_proof)
    harm(folder, monkeypatch)
    with ONNX(folder) as session:
        assert session.predict(red).label == "red"
        assert session.proof.ok
        assert isinstance(session.failure, error)
        assert f"The bundle before, in slot 'a' of {folder}, is used: {session.failure}" in caplog.text
        with pytest.raises(error):
            session.refresh()
        monkeypatch.undo()
        install(tmp_path / "german", folder, prove=no_proof)
        rollback(folder, prove=no_proof)
        rollback(folder, prove=no_proof)
        assert session.predict(red).label == "rot"
        assert session.failure is None


def test_where_neither_bundle_can_be_used_both_reasons_are_given(tmp_path, folder, monkeypatch):
    with pytest.raises(EngineError, match="has no device 'toaster'"):
        ONNX(folder, device="toaster")
    install(tmp_path / "german", folder, prove=no_proof)
    damaged(folder, monkeypatch)
    (folder / "a/onnx/model.onnx").unlink()
    with pytest.raises(BundleError) as error:
        ONNX(folder)
    assert "'onnx/model.onnx' has 6 bytes where" in str(error.value)
    assert "The bundle before it, in slot 'a', cannot be used either: " in str(error.value)
    assert "'onnx/model.onnx' is missing" in str(error.value)


def test_the_bundle_before_needs_a_signature_too(tmp_path, folder):
    install(tmp_path / "german", folder, prove=no_proof)
    with pytest.raises(SignatureError, match=r"cannot be used either: .* is not signed"):
        follow(folder, trust=[PublicKey(bytes(32))], open_session=ONNX)


def test_an_app_may_say_how_a_bundle_is_opened(folder):
    with pytest.raises(EngineError, match="has no device 'toaster'"):
        follow(folder, open_session=partial(Session.open, variant="onnx-fp32", device="toaster"))


def test_following_needs_slots_or_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="There is no bundle"):
        follow(tmp_path / "nowhere")


def test_slots_that_vanish_leave_the_session_that_is_open(folder, red, caplog):
    session = ONNX(folder)
    (folder / "slots.json").unlink()
    assert session.predict(red).label == "red"
    assert isinstance(session.failure, BundleError)
    assert caplog.records


def test_threads_get_whole_answers_while_bundles_are_switched(tmp_path, folder):
    """Every answer is one of the two bundles', for the right colour, and no call fails."""
    pictures = [write_colour(tmp_path / f"{colour}.png", colour) for colour in CLASSES]
    session = ONNX(folder)
    stop, wrong, answers = threading.Event(), [], set()

    def ask():
        while not stop.is_set():
            for number, picture in enumerate(pictures):
                label = session.predict(picture).label
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
    assert session.failure is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_follows_whatever_the_threads_of_its_parent_were_doing(tmp_path, folder, red):
    session = ONNX(folder)
    install(tmp_path / "german", folder, prove=no_proof)
    with session._follower._changing:  # As in the midst of a switch.
        child = os.fork()
        if child == 0:
            os._exit(session.predict(red).label != "rot")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
