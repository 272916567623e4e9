import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tiny_bundle import PREPROCESS, tiny_bundle, tiny_manifest, tiny_variant, write_manifest

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.engines import Engine, load_engine
from edgetl_runtime.errors import BundleError, ProofError
from edgetl_runtime.proof import Check, Proof, proof_from_json, proof_to_json, prove
from edgetl_runtime.session import Session

ADVICE = "Open another variant here, or export the bundle again."

Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]


class Altered:
    """An engine whose outputs are changed on the way out."""

    def __init__(self, honest: Engine, change: Callable[[Arrays], Arrays]) -> None:
        self.executed_device, self.version = "npu", honest.version
        self._honest, self._change = honest, change

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        return self._change(self._honest.run(images))


def session_on(folder: Path, change: Callable[[Arrays], Arrays] = tuple, *, batch: int = 1) -> Session:
    bundle = Bundle.open(folder)
    variant = bundle.manifest.variants[0]
    make = load_engine(variant.engine)
    model = bundle.path(variant.model)
    honest = make(model, device="cpu", execution="f32", batch=batch, threads=1)
    return Session(bundle, variant, Altered(honest, change), batch=batch)


def disagreement(session: Session) -> str:
    with pytest.raises(ProofError) as error:
        prove(session)
    return str(error.value)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_an_honest_device_is_proven_case_by_case(tmp_path: Path, batch: int) -> None:
    proof = prove(session_on(tiny_bundle(tmp_path / "bundle"), batch=batch))
    assert proof.ok
    assert (proof.variant, proof.device) == ("onnx-fp32", "npu")
    for case in ("jpeg", "png", "rotated", "large"):
        quantities = [check.quantity for check in proof.checks if check.case == case]
        assert quantities == ["mean of pixels", "pixels", "logits", "probabilities"]
    assert proof.describe().startswith(
        "Variant 'onnx-fp32' agrees with 4 reference cases on 'npu': logits off by "
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: (out[0] + 0.01, out[1]), "case 'jpeg': logits off by 0.01, at most 0.001 allowed"),
        (lambda out: (out[0] * np.nan, out[1]), "case 'jpeg': logits are not finite"),
        (lambda out: (out[0] * np.inf, out[1]), "case 'large': logits are not finite"),
        (lambda out: (out[0], out[1] * np.nan), "case 'png': probabilities are not finite"),
        (lambda out: (out[0][:, [1, 0, 2]], out[1][:, [1, 0, 2]]), "case 'rotated': logits off by"),
        (lambda out: (out[0] * 0, out[1] * 0 + 1 / 3), "the outputs are the same for every case"),
        (lambda out: (out[0], out[1][:, [1, 0, 2]]), "case 'jpeg': probabilities off by"),
        (lambda out: (out[0], out[0]), "case 'jpeg': probabilities off by"),
        (lambda out: (out[0], softmax(out[0])), "case 'jpeg': probabilities off by"),
    ],
    ids=["off", "nan", "inf", "p-nan", "swapped", "constant", "p-swapped", "no-softmax", "no-temperature"],
)
def test_an_engine_that_lies_is_refused(
    tmp_path: Path, change: Callable[[Arrays], Arrays], message: str
) -> None:
    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle"), change))
    assert text.startswith("Variant 'onnx-fp32' disagrees with the reference cases on 'npu': ")
    assert message in text


def test_a_constant_engine_is_refused_however_wide_the_tolerance(tmp_path: Path) -> None:
    wide = tiny_variant("onnxruntime", tolerance=100.0)
    folder = tiny_bundle(tmp_path / "bundle", variants=(wide,))

    def constant(out: Arrays) -> Arrays:
        return np.zeros_like(out[0]), np.full_like(out[1], 1 / 3)

    assert disagreement(session_on(folder, constant)).endswith(
        f": the outputs are the same for every case. {ADVICE}"
    )


def test_a_device_that_is_right_in_the_first_place_of_a_batch_only_is_refused(tmp_path: Path) -> None:
    def broken(out: Arrays) -> Arrays:
        out[0][7:] += 1
        return out

    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle"), broken, batch=8))
    assert "case 'large': logits off by 1, at most 0.001 allowed" in text
    assert "case 'jpeg': logits off by 1" in text  # It has the last place in reverse.
    assert "case 'png'" not in text


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_a_device_that_is_right_on_its_first_batch_only_is_refused(tmp_path: Path, batch: int) -> None:
    runs = []

    def tired(out: Arrays) -> Arrays:
        runs.append(len(out[0]))
        return out if len(runs) == 1 else (out[0] + 1, out[1])

    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle"), tired, batch=batch))
    assert "logits off by 1, at most 0.001 allowed" in text
    assert set(runs) == {batch}


def test_a_device_that_answers_by_place_and_not_by_picture_is_refused(tmp_path: Path) -> None:
    first = []

    def stuck(out: Arrays) -> Arrays:
        first.append((out[0].copy(), out[1].copy()))
        return first[0]

    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle"), stuck, batch=4))
    assert text.count("logits off by") == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels[:, :, ::-1],
        np.rot90,
        lambda pixels: ((pixels.astype(np.uint16) + np.roll(pixels, 1, axis=1)) // 2).astype(np.uint8),
    ],
    ids=["channels-swapped", "no-exif", "half-a-pixel-off"],
)
def test_a_device_whose_preprocessing_lies_is_refused(
    tmp_path: Path, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    session = session_on(tiny_bundle(tmp_path / "bundle"))
    honest = session.preprocess

    class Lying:
        size = honest.size

        def __call__(self, picture: Path) -> NDArray[np.uint8]:
            return np.ascontiguousarray(change(honest(picture)))

    session.preprocess = Lying()
    text = disagreement(session)
    assert "pixels off by" in text
    assert "logits" not in text


def test_a_proof_that_is_remembered_says_so(tmp_path: Path) -> None:
    proof = prove(session_on(tiny_bundle(tmp_path / "bundle")))
    session = session_on(tmp_path / "bundle")
    back = proof_from_json(json.loads(json.dumps(proof_to_json(proof))), session)
    assert back is not None
    assert (back.checks, back.remembered) == (proof.checks, True)
    assert back.describe() == f"{proof.describe()} This was found earlier."


@pytest.mark.parametrize(
    "value",
    [
        *(None, {}, [], [[]], [["a", "logits", 0.0]], [["a", "mood", 0.0, 1.0]], [["a", "logits", "0", 1.0]]),
        [["a", "logits", 2.0, 1.0]],
        [["a", "logits", 0.0, 1.0], 7],
        [["jpeg", "logits", 0.0, 0.001]],
    ],
)
def test_what_is_no_proof_is_not_recalled(tmp_path: Path, value: object) -> None:
    assert proof_from_json(value, session_on(tiny_bundle(tmp_path / "bundle"))) is None


def test_a_proof_that_lacks_a_check_or_does_not_hold_is_not_recalled(tmp_path: Path) -> None:
    session = session_on(tiny_bundle(tmp_path / "bundle"))
    whole = proof_to_json(prove(session))
    assert proof_from_json(whole, session) is not None
    for number, (case, quantity, measured, limit) in enumerate(whole):
        rest = [*whole[:number], *whole[number + 1 :]]
        assert proof_from_json(rest, session) is None
        assert proof_from_json([*rest, rest[0]], session) is None
        assert proof_from_json([*rest, [case, quantity, limit + 1, limit]], session) is None
        assert proof_from_json([*rest, [case, quantity, measured, limit]], session) is not None


def test_every_disagreement_is_told_at_once(tmp_path: Path) -> None:
    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle"), lambda out: (out[0] + 1, out[1])))
    assert text.count("logits off by 1, at most 0.001 allowed") == 4


def test_differences_within_the_tolerance_are_allowed_and_measured(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle", variants=(tiny_variant("onnxruntime", tolerance=0.5),))
    proof = prove(session_on(folder, lambda out: (out[0] + np.float32(0.25), out[1])))
    assert "logits off by 0.25, at most 0.5 allowed." in proof.describe()


def swap_channels(picture: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(PREPROCESS(picture)[..., ::-1])


def ignore_orientation(picture: Path) -> NDArray[np.uint8]:
    with Image.open(picture) as image:
        return PREPROCESS(np.asarray(image.convert("RGB")))


def shift_by_half_a_pixel(picture: Path) -> NDArray[np.uint8]:
    with Image.open(picture) as image:
        side = 0.875 * min(image.size)
        left, top = (image.width - side) / 2 + side / 64, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC, box=box))


def stretch(picture: Path) -> NDArray[np.uint8]:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("pixels", "case"),
    [
        (swap_channels, "png"),
        (swap_channels, "jpeg"),
        (ignore_orientation, "rotated"),
        (shift_by_half_a_pixel, "png"),
        (stretch, "large"),
    ],
)
def test_another_preprocessing_than_that_of_the_device_is_refused(
    tmp_path: Path, pixels: Callable[[Path], NDArray[np.uint8]], case: str
) -> None:
    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle", pixels=pixels)))
    assert f"case '{case}': " in text
    assert "pixels off by" in text
    assert "logits" not in text


def test_another_jpeg_decoder_is_allowed_another_png_decoder_is_not(tmp_path: Path) -> None:
    def slightly_off(picture: Path) -> NDArray[np.uint8]:
        pixels = PREPROCESS(picture).copy()
        pixels[::16, ::16] ^= 4
        return pixels

    text = disagreement(session_on(tiny_bundle(tmp_path / "bundle", pixels=slightly_off)))
    assert text.endswith(f" on 'npu': case 'png': pixels off by 4, at most 1 allowed. {ADVICE}")


def test_a_picture_that_the_device_cannot_decode_is_one_disagreement_among_others(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "cases/png.bin").write_bytes(b"\x89PNG and nothing more")
    write_manifest(folder, tiny_manifest())
    text = disagreement(session_on(folder, lambda out: (out[0] + 1, out[1])))
    assert "case 'png': The picture " in text
    assert "case 'jpeg': logits off by 1" in text


def test_multi_label_probabilities_are_sigmoids(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle", task="multi_label")
    assert "probabilities off by" in disagreement(session_on(folder))
    assert prove(session_on(folder, lambda out: (out[0], 1 / (1 + np.exp(-out[0] / 2))))).ok


def damage_pixels(folder: Path) -> None:
    Image.new("RGB", (31, 32)).save(folder / "reference/pixels/png.png", format="PNG")


def truncate_pixels(folder: Path) -> None:
    os.truncate(folder / "reference/pixels/png.png", 200)


def disguise_pixels(folder: Path) -> None:
    Image.new("RGB", (32, 32)).save(folder / "reference/pixels/png.png", format="JPEG")


def damage_logits(array: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        np.save(folder / "reference/logits/onnx-fp32.npy", array, allow_pickle=True)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_pixels, "Reference pixels 'png.png' must be a PNG of 32×32, got PNG of 31×32."),
        (truncate_pixels, "Reference pixels 'png.png' cannot be read: The picture "),
        (disguise_pixels, "Reference pixels 'png.png' must be a PNG of 32×32, got JPEG of 32×32."),
        (damage_logits(np.zeros((4, 2), np.float32)), "must be float32 (4, 3), got float32 (4, 2)."),
        (damage_logits(np.zeros((4, 3))), "must be float32 (4, 3), got float64 (4, 3)."),
        (damage_logits(np.array([{"a": 1}], object)), "'onnx-fp32.npy' are not a NumPy file: "),
    ],
)
def test_a_reference_that_cannot_be_used_is_the_fault_of_the_bundle(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    damage(folder)
    write_manifest(folder, tiny_manifest())
    with pytest.raises(BundleError) as error:
        prove(session_on(folder))
    assert message in str(error.value)


def test_hostile_reference_logits_are_refused_or_compared(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    session = session_on(folder)
    file = folder / "reference/logits/onnx-fp32.npy"
    honest = file.read_bytes()

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 130), st.integers(0, 20), st.binary(max_size=20))
    def attack(start: int, length: int, insert: bytes) -> None:
        file.write_bytes(honest[:start] + insert + honest[start + length :])
        with suppress(BundleError, ProofError):
            prove(session)

    attack()


def test_a_header_that_asks_for_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    session = session_on(tiny_bundle(tmp_path / "bundle"))
    file = session.bundle.path("reference/logits/onnx-fp32.npy")
    file.write_bytes(file.read_bytes().replace(b"(4, 3), }         ", b"(4000000000, 3), }"))
    with pytest.raises(BundleError, match=r"'onnx-fp32\.npy' are not a NumPy file"):
        prove(session)


def test_a_check_holds_up_to_its_limit_and_never_with_nan() -> None:
    assert Check("a", "logits", 0.5, 0.5).ok
    assert not Check("a", "logits", 0.500001, 0.5).ok
    assert not Check("a", "logits", math.nan, 0.5).ok
    assert Proof("v", "cpu", (Check(None, "constancy", 0.0, 0.0),)).ok
