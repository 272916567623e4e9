import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from runtime_factories import tiny_pixels
from tiny_bundle import CLASSES, tiny_bundle, tiny_logits, tiny_variant, write_colour, zip_folder

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import (
    BundleError,
    ContractError,
    EngineError,
    InputError,
    PictureError,
    ProofError,
)
from edgetl_runtime.manifest import EngineName
from edgetl_runtime.session import Prediction, Session

FP32, INT8 = tiny_variant("onnxruntime"), tiny_variant("onnxruntime", name="onnx-int8")
IMAGES = np.stack([tiny_pixels(seed, width=32, height=32) for seed in range(5)])


class Fixed:
    """An engine that gives the same rows for every batch, and notes the batches."""

    executed_device, version = "npu", "0"

    def __init__(self, logits: list[float], probabilities: list[float]) -> None:
        self.rows = np.array([logits, probabilities], np.float32)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.shapes.append(images.shape)
        logits, probabilities = np.repeat(self.rows[:, np.newaxis], len(images), axis=1)
        return logits, probabilities


def prediction(folder: Path, engine: Fixed) -> Prediction:
    bundle = Bundle.open(folder)
    return Session(bundle, bundle.manifest.variants[0], engine).predict(tiny_pixels())


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
@pytest.mark.parametrize("colour", CLASSES)
def test_a_picture_gets_the_label_of_its_colour(tmp_path: Path, variant: str, colour: str) -> None:
    if variant.startswith("openvino"):
        pytest.importorskip("openvino")
    picture = write_colour(tmp_path / "picture.png", colour)
    with Session.open(tiny_bundle(tmp_path / "bundle"), variant=variant) as session:
        answer = session.predict(picture)
        pixels = session.preprocess(picture)
    assert (answer.label, answer.labels) == (colour, (colour,))
    assert answer.confidence == answer.probabilities.max() > 0.9
    assert answer.probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(answer.logits, tiny_logits(pixels[np.newaxis])[0], atol=1e-4)


def test_every_form_of_a_picture_gives_the_same_answer(tmp_path: Path) -> None:
    path = write_colour(tmp_path / "picture.png", "green")
    image = Image.open(path)
    data = path.read_bytes()
    forms = [path, str(path), data, bytearray(data), memoryview(data), image, np.asarray(image)]
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session:
        one_by_one = [session.predict(form).logits for form in forms]
        together = [answer.logits for answer in session.predict(forms)]
    for logits in (*one_by_one, *together):
        np.testing.assert_array_equal(logits, one_by_one[0])


def test_a_list_gives_a_list_in_its_order(tmp_path: Path) -> None:
    paths = [write_colour(tmp_path / f"{number}.png", CLASSES[number % 3], number) for number in range(7)]
    with Session.open(tiny_bundle(tmp_path / "bundle"), batch=3) as session:
        assert [answer.label for answer in session.predict(paths)] == [CLASSES[n % 3] for n in range(7)]
        assert session.predict([]) == []


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_variant_of_a_fixed_batch_is_compiled_for_it_and_filled_up(
    tmp_path: Path, engine: EngineName
) -> None:
    pytest.importorskip(engine)
    folder = tiny_bundle(tmp_path / "bundle", variants=(tiny_variant(engine, batch=4),))
    pictures = [tiny_pixels(number) for number in range(6)]
    for asked in (1, 3):
        with Session.open(folder, batch=asked) as session:
            assert session.batch == 4
            expected = tiny_logits(np.stack([session.preprocess(picture) for picture in pictures]))
            np.testing.assert_allclose(session.predict(pictures[0]).logits, expected[0], atol=1e-4)
            found = [answer.logits for answer in session.predict(pictures)]
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("ahead", "most"), [(1, 4), (4, 4), (5, 8), (12, 12)])
def test_a_stream_takes_no_more_pictures_ahead_than_asked(tmp_path: Path, ahead: int, most: int) -> None:
    taken = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for number in range(30):
            taken.append(number)
            yield tiny_pixels(number)

    with Session.open(tiny_bundle(tmp_path / "bundle"), batch=4) as session:
        answers = session.stream(pictures(), ahead=ahead)
        assert taken == []
        next(answers)
        assert 4 <= len(taken) <= most
        assert len(list(answers)) == 29


def test_a_stream_gives_what_predict_gives_in_its_order(tmp_path: Path) -> None:
    pictures = [tiny_pixels(number) for number in range(23)]
    with Session.open(tiny_bundle(tmp_path / "bundle"), batch=2) as session:
        expected = tiny_logits(np.stack([session.preprocess(picture) for picture in pictures]))
        for ahead in (None, 1, 50):
            found = [answer.logits for answer in session.stream(iter(pictures), ahead=ahead)]
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_error_of_one_picture_is_raised_in_its_place_or_given_as_a_value(
    tmp_path: Path, batch: int
) -> None:
    pictures = [tiny_pixels(0), b"nothing", tiny_pixels(1), b"", tiny_pixels(2), None]
    with Session.open(tiny_bundle(tmp_path / "bundle"), batch=batch) as session:
        found = list(session.stream(pictures, errors="yield"))
        assert [type(one) for one in found] == [
            *(Prediction, PictureError, Prediction, PictureError, Prediction, PictureError)
        ]
        assert "is empty" in str(found[3])
        answers = session.stream(pictures)
        assert isinstance(next(answers), Prediction)
        with pytest.raises(PictureError):
            next(answers)
        assert list(session.stream([b"", b""], errors="yield", ahead=4))[1].reason == "is empty"


def stream_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgetl-stream")]


@pytest.mark.parametrize("how", ["close", "break", "exception", "iterable"])
def test_a_stream_that_ends_early_leaves_no_thread(tmp_path: Path, how: str) -> None:
    def pictures() -> Iterator[NDArray[np.uint8]]:
        for number in range(7 if how == "iterable" else 10_000):
            yield tiny_pixels(number)
        raise OSError("the camera is gone")

    with Session.open(tiny_bundle(tmp_path / "bundle")) as session:
        answers = session.stream(pictures(), ahead=6)
        next(answers)
        assert stream_threads()
        if how == "close":
            answers.close()
        elif how == "break":
            for _ in answers:
                break
            del answers
        elif how == "exception":
            with pytest.raises(ZeroDivisionError):
                answers.throw(ZeroDivisionError())
        else:
            rest = []
            with pytest.raises(OSError, match="the camera is gone"):
                rest.extend(answers)
            assert len(rest) == 6
    assert stream_threads() == []


def test_a_stream_of_a_closed_session_says_so(tmp_path: Path) -> None:
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session:
        answers = session.stream([tiny_pixels()] * 50)
        next(answers)
    with pytest.raises(InputError, match="The session is closed"):
        list(session.stream([tiny_pixels()]))
    answers.close()
    assert stream_threads() == []


@pytest.mark.parametrize(("name", "value"), [("ahead", 0), ("errors", "ignore")])
def test_what_a_stream_does_not_know_is_refused_at_once(tmp_path: Path, name: str, value: object) -> None:
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session, pytest.raises(InputError, match=name):
        session.stream([], **{name: value})


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
@pytest.mark.parametrize("hint", ["latency", "throughput"])
def test_32_threads_get_the_answers_to_their_own_questions(tmp_path: Path, variant: str, hint: str) -> None:
    if variant.startswith("openvino"):
        pytest.importorskip("openvino")
    pictures = [tiny_pixels(number) for number in range(8)]
    folder = tiny_bundle(tmp_path / "bundle")
    with Session.open(folder, variant=variant, hint=hint) as session, ThreadPoolExecutor(32) as pool:
        expected = tiny_logits(np.stack([session.preprocess(picture) for picture in pictures]))

        def off(number: int) -> float:
            answer = session.predict(pictures[number % 8])
            return float(np.abs(answer.logits - expected[number % 8]).max())

        assert max(pool.map(off, range(800))) < 1e-4


FORKED = """
import multiprocessing, sys
import numpy as np
from edgetl_runtime import Session

def work(number):
    if number == 0:
        session.close()
    elif number == 1:
        vars(sys.modules["__main__"]).pop("session")
    else:
        logits = session.predict(image).logits
        assert (logits == expected).all()
        if number == 2:  # A process that was forked from a forked one.
            grandchild = fork.Process(target=work, args=(3,))
            grandchild.start()
            grandchild.join()
            assert grandchild.exitcode == 0

image = np.full((40, 40, 3), (200, 20, 20), np.uint8)
session = Session.open(sys.argv[1], variant=sys.argv[2])
expected = session.predict(image).logits
fork = multiprocessing.get_context("fork")
children = [fork.Process(target=work, args=(number,)) for number in range(6)]
for child in children:
    child.start()
for child in children:
    child.join()
assert [child.exitcode for child in children] == [0] * 6
assert (session.predict(image).logits == expected).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_forked_processes_go_on_with_engines_of_their_own(tmp_path: Path, variant: str) -> None:
    if variant.startswith("openvino"):
        pytest.importorskip("openvino")
    folder = tiny_bundle(tmp_path / "bundle")
    program = [sys.executable, "-W", "ignore", "-c", FORKED, folder, variant]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            _, errors = running.communicate(timeout=90)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # Children that hang as well.
    assert (running.returncode, errors) == (0, "")


def test_an_engine_is_made_anew_from_the_same_files_only(tmp_path: Path) -> None:
    """As after two installations, the second of which put another bundle into the very slot."""
    folder = tiny_bundle(tmp_path / "bundle")
    with Session.open(folder, variant="onnx-fp32") as session:
        session._engine._process -= 1  # As it is in a child.
        (folder / "onnx/model.onnx").write_bytes(b"rotten")
        with pytest.raises(BundleError, match=r"'onnx/model.onnx' was changed: its SHA-256"):
            session.predict(tiny_pixels())
        (folder / "onnx/model.onnx").unlink()
        with pytest.raises(BundleError, match="cannot be read: "):
            session.predict(tiny_pixels())


def test_a_session_that_cannot_make_its_engine_anew_refuses_after_a_fork(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "bundle"))
    session = Session(bundle, bundle.manifest.variants[0], Fixed([1, 2, 3], [0.1, 0.2, 0.7]))
    session._engine._process -= 1  # As it is in a child.
    with pytest.raises(EngineError, match=r"was forked from it\. Use Session\.open"):
        session.predict(tiny_pixels())


def test_a_batch_of_the_right_size_is_read_in_place(tmp_path: Path) -> None:
    seen = []

    class Watching(Fixed):
        def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            seen.append(images)
            return super().run(images)

    bundle = Bundle.open(tiny_bundle(tmp_path / "bundle"))
    engine = Watching([1, 2, 3], [0.1, 0.2, 0.7])
    session = Session(bundle, bundle.manifest.variants[0], engine, batch=2)
    session.infer(IMAGES[:2])
    session.infer(IMAGES[:4])
    assert [np.shares_memory(one, IMAGES) for one in seen] == [True, True, True]


def test_a_frame_of_opencv_gets_the_label_of_its_colour(tmp_path: Path) -> None:
    frame = np.full((40, 40, 3), (200, 20, 20), np.uint8)
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session:
        assert session.predict(frame).label == "red"
        assert session.predict(frame, channels="bgr").label == "blue"
        assert [one.label for one in session.predict([frame], channels="bgr")] == ["blue"]
        assert [one.label for one in session.stream([frame], channels="bgr")] == ["blue"]


def test_one_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    pictures = [write_colour(tmp_path / "sound.png", "red"), broken]
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session, pytest.raises(PictureError) as error:
        session.predict(pictures)
    assert error.value.picture == str(broken)


def test_threads_may_share_a_session(tmp_path: Path) -> None:
    paths = {colour: write_colour(tmp_path / f"{colour}.png", colour) for colour in CLASSES}
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session, ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda number: session.predict(paths[CLASSES[number % 3]]).label, range(60))
        assert list(answers) == [CLASSES[number % 3] for number in range(60)]


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_any_number_of_images_goes_through_the_static_batch(tmp_path: Path, batch: int, count: int) -> None:
    with Session.open(tiny_bundle(tmp_path / "bundle"), batch=batch) as session:
        logits, probabilities = session.infer(IMAGES[:count])
    assert logits.dtype == probabilities.dtype == np.float32
    assert logits.shape == probabilities.shape == (count, 3)
    np.testing.assert_allclose(logits, tiny_logits(IMAGES[:count]), atol=1e-4)


def test_the_engine_sees_whole_batches_only(tmp_path: Path) -> None:
    bundle, engine = Bundle.open(tiny_bundle(tmp_path / "bundle")), Fixed([1, 2, 3], [0.1, 0.2, 0.7])
    Session(bundle, bundle.manifest.variants[0], engine, batch=2).infer(IMAGES)
    assert engine.shapes == [(2, 32, 32, 3)] * 3


@pytest.mark.parametrize(
    "images",
    [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:, :31], IMAGES.transpose(0, 3, 1, 2), np.uint8(1)],
)
def test_images_of_another_kind_are_refused(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session, pytest.raises(InputError) as error:
        session.infer(images)
    assert str(error.value).startswith("Images must be uint8 (n, 32, 32, 3), got ")


@pytest.mark.parametrize(("confidence", "label"), [(0.8, "blue"), (0.7999, None)])
def test_a_prediction_below_the_threshold_is_rejected(
    tmp_path: Path, confidence: float, label: str | None
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", variants=(tiny_variant("onnxruntime", reject_below=0.8),))
    answer = prediction(folder, Fixed([0, 0, 2], [0.1, 0.1, confidence]))
    assert (answer.label, answer.labels) == (label, (label,) if label else ())
    assert answer.confidence == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("probabilities", "label", "labels"),
    [
        ([0.6, 0.1, 0.9], "blue", ("red", "blue")),
        ([0.1, 0.5, 0.2], "green", ("green",)),
        ([0.1, 0.49, 0.2], None, ()),
    ],
)
def test_a_multi_label_picture_has_every_class_from_one_half_on(
    tmp_path: Path, probabilities: list[float], label: str | None, labels: tuple[str, ...]
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", task="multi_label")
    answer = prediction(folder, Fixed([0, 0, 0], probabilities))
    assert (answer.label, answer.labels) == (label, labels)
    assert answer.confidence == pytest.approx(max(probabilities))


def test_rounding_above_one_is_no_confidence_above_one(tmp_path: Path) -> None:
    assert prediction(tiny_bundle(tmp_path / "bundle"), Fixed([0, 0, 9], [0, 0, 1.001])).confidence == 1


@pytest.mark.parametrize("probabilities", [[0.1, np.nan, 0.9], [np.nan] * 3, [-1, -2, -3]])
def test_an_answer_that_is_no_probability_is_refused(tmp_path: Path, probabilities: list[float]) -> None:
    with pytest.raises(ContractError, match="A confidence must be 0 to 1, the engine gave "):
        prediction(tiny_bundle(tmp_path / "bundle"), Fixed([0, 0, 0], probabilities))


def test_a_model_for_other_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"of shape \(1, 3\), got \(1, 4\) and \(1, 4\)"):
        prediction(tiny_bundle(tmp_path / "bundle"), Fixed([0] * 4, [0.25] * 4))


def test_a_session_tells_what_it_opened(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    with Session.open(folder, threads=1) as session:
        assert session.variant is session.manifest.variants[0]
        assert (session.labels, session.device, session.batch) == (CLASSES, "cpu", 1)
        assert session.preprocess is session.manifest.preprocess
        assert session.proof is not None
        assert session.proof.ok
        assert session.skipped == ()


def test_the_proof_may_be_left_out(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle", logits={"onnx-fp32": lambda logits: logits + 1})
    with Session.open(folder, prove=False) as session:
        assert session.proof is None


def test_a_closed_session_says_so_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    archive = zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "bundle.zip")
    with Session.open(archive) as session:
        assert session.bundle.root.is_dir()
    session.close()
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundle.zip"}
    with pytest.raises(InputError, match=r"The session is closed\. Open it again\."):
        session.predict(tiny_pixels())


def test_a_zip_that_is_not_proven_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tiny_bundle(tmp_path / "bundle", logits={"onnx-fp32": lambda logits: logits + 1})
    with pytest.raises(ProofError):
        Session.open(zip_folder(folder, tmp_path / "bundle.zip"))
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundle.zip"}


def test_a_bundle_that_was_given_stays_open(tmp_path: Path) -> None:
    with Bundle.open(zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "bundle.zip")) as bundle:
        for _ in range(2):
            with Session.open(bundle) as session:
                assert session.predict(tiny_pixels()).label in CLASSES
        assert bundle.root.is_dir()


@pytest.mark.parametrize("name", ["batch", "threads"])
def test_impossible_numbers_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1.*, got 0"):
        Session.open(tiny_bundle(tmp_path / "bundle"), **{name: 0})


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no variant 'int8'; it has 'onnx-fp32', 'openvino-fp32'"):
        Session.open(tiny_bundle(tmp_path / "bundle"), variant="int8")


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has no device 'npu'"):
        Session.open(tiny_bundle(tmp_path / "bundle"), device="npu")


def two_variants(path: Path, *, lying: tuple[str, ...] = ("onnx-int8",)) -> Path:
    lies = {name: lambda logits: logits[:, ::-1] for name in lying}
    return tiny_bundle(path, variants=(INT8, FP32), logits=lies)


def test_the_first_variant_that_can_be_used_is_opened(tmp_path: Path) -> None:
    with Session.open(two_variants(tmp_path / "bundle", lying=())) as session:
        assert session.variant.name == "onnx-int8"


@pytest.mark.parametrize("variant", ["auto", "onnx-int8"])
def test_a_disagreement_is_refused_by_default(tmp_path: Path, variant: str) -> None:
    with pytest.raises(ProofError, match="Variant 'onnx-int8' disagrees with the reference cases on 'cpu'"):
        Session.open(two_variants(tmp_path / "bundle"), variant=variant)


@pytest.mark.parametrize("variant", ["auto", "onnx-int8"])
def test_a_disagreement_leads_to_the_next_variant_where_that_is_asked_for(
    tmp_path: Path, variant: str
) -> None:
    folder = two_variants(tmp_path / "bundle")
    with Session.open(folder, variant=variant, on_disagreement="next") as session:
        assert session.variant.name == "onnx-fp32"
        assert session.proof is not None
        assert session.proof.ok
        [skipped] = session.skipped
        assert skipped.variant == "onnx-int8"
        assert "case 'jpeg': logits off by" in skipped.reason


def test_the_next_variant_is_never_a_better_liked_one(tmp_path: Path) -> None:
    folder = two_variants(tmp_path / "bundle", lying=("onnx-fp32",))
    with pytest.raises(ProofError) as error:
        Session.open(folder, variant="onnx-fp32", on_disagreement="next")
    assert str(error.value).startswith(
        "No variant of the bundle can be used here. onnx-fp32: Variant 'onnx-fp32'"
    )
    assert "onnx-int8" not in str(error.value)


def test_where_all_disagree_all_reasons_are_given(tmp_path: Path) -> None:
    folder = two_variants(tmp_path / "bundle", lying=("onnx-int8", "onnx-fp32"))
    with pytest.raises(ProofError) as error:
        Session.open(folder, on_disagreement="next")
    assert "onnx-int8: Variant 'onnx-int8' disagrees" in str(error.value)
    assert "onnx-fp32: Variant 'onnx-fp32' disagrees" in str(error.value)


def openvino_first(path: Path) -> Path:
    return tiny_bundle(path, variants=(tiny_variant("openvino"), tiny_variant("onnxruntime")))


def test_auto_passes_over_engines_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with Session.open(openvino_first(tmp_path / "bundle")) as session:
        assert session.variant.name == "onnx-fp32"
        [skipped] = session.skipped
        assert skipped.variant == "openvino-fp32"
        assert skipped.reason.startswith("Engine 'openvino' is not installed. Run: ")


def test_a_variant_that_was_named_needs_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    folder = openvino_first(tmp_path / "bundle")
    with pytest.raises(EngineError, match="Engine 'openvino' is not installed"):
        Session.open(folder, variant="openvino-fp32")
    with Session.open(folder, variant="openvino-fp32", on_disagreement="next") as session:
        assert session.variant.name == "onnx-fp32"


def test_where_no_engine_is_installed_every_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError) as error:
        Session.open(openvino_first(tmp_path / "bundle"))
    assert "openvino-fp32: Engine 'openvino' is not installed." in str(error.value)
    assert "onnx-fp32: Engine 'onnxruntime' is not installed." in str(error.value)


def test_encoded_bytes_may_come_from_memory(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(tiny_pixels()).save(buffer, format="WEBP")
    with Session.open(tiny_bundle(tmp_path / "bundle")) as session:
        assert session.predict(buffer.getvalue()).label in CLASSES
