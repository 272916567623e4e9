"""Wrong labels and near duplicates: planted ones are found, and nothing where nothing is."""

import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from edgetl.advise import duplicates
from edgetl.advise.duplicates import MAX_BITS, MIN_COSINE, find_near_duplicates, perceptual_hash
from edgetl.advise.mislabels import confident_joint, doubt, find_mislabels
from edgetl.backbones import create_backbone


def blobs(n: int, classes: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(n, 30)) + 1.5 * rng.normal(size=(classes, 30))[labels], labels


def test_swapped_labels_are_found_and_the_right_ones_suggested() -> None:
    features, truth = blobs(300, 3)
    labels = truth.copy()
    swapped = np.arange(0, 300, 20)
    labels[swapped] = (truth[swapped] + 1) % 3
    found = find_mislabels(features, labels)
    rows = [one.row for one in found]
    assert set(rows) <= set(swapped)
    assert len(rows) >= 0.8 * len(swapped)
    assert all(one.suggested == truth[one.row] for one in found)
    assert all(one.given == labels[one.row] for one in found)
    assert [one.margin for one in found] == sorted((one.margin for one in found), reverse=True)


def test_right_labels_are_hardly_doubted() -> None:
    features, labels = blobs(300, 3)
    assert len(find_mislabels(features, labels)) <= 3


def test_classes_of_a_few_pictures_are_trusted() -> None:
    features, labels = blobs(60, 2)
    labels[:4] = 7
    assert all(one.given != 7 and one.suggested != 7 for one in find_mislabels(features, labels))
    assert find_mislabels(features[:12], np.arange(12) % 2) == []


def test_the_confident_joint_counts_as_the_paper_says() -> None:
    # Class 0 is on average 0.7 probable on its own pictures, class 1 is 0.6: the third and the last picture
    # count for the other class.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert confident_joint(probabilities, labels).tolist() == [[2, 1], [1, 2]]
    (found,) = doubt(probabilities, labels)  # The third picture's margin is 0.4.
    assert (found.row, found.given, found.suggested, round(found.margin, 9)) == (5, 1, 0, 0.6)


def test_rows_of_the_confident_joint_are_scaled_to_the_given_counts() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4], [0.1, 0.9], [0.1, 0.9]])
    assert confident_joint(probabilities, np.array([0, 0, 0, 1, 1])).tolist() == [[3, 0], [0, 2]]


def crops(count: int = 24) -> list[Image.Image]:
    rng, pictures = np.random.default_rng(0), [data.chelsea(), data.coffee(), data.astronaut()]
    found = []
    for number in range(count):
        pixels = pictures[number % 3]
        side = int(rng.integers(120, 200))
        y, x = (int(rng.integers(0, length - side)) for length in pixels.shape[:2])
        found.append(Image.fromarray(pixels[y : y + side, x : x + side]))
    return found


def encoded(image: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(BytesIO(file.getvalue()))


def features_of(images: list[Image.Image]) -> NDArray:
    backbone = create_backbone("efficientnet_lite0")
    preprocess = backbone.native.preprocess()
    pixels = np.stack([preprocess(image) for image in images])
    with torch.no_grad():
        normalised = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return backbone.trunk()(normalised).numpy()


def test_copies_saved_again_or_made_smaller_are_found_and_other_pictures_are_not() -> None:
    given = crops()
    copies = [encoded(given[0], 60), given[1].resize((100, 100)), encoded(given[2].resize((150, 150)), 80)]
    everything = [*given, *copies]
    found = find_near_duplicates(features_of(everything), [perceptual_hash(one) for one in everything])
    pairs = {(one.first, one.second) for one in found}
    assert {(0, 24), (1, 25), (2, 26)} <= pairs
    for first, second in pairs - {(0, 24), (1, 25), (2, 26)}:  # Crops may overlap by chance.
        assert second < 24, (first, second)
    assert len(pairs) <= 5


def test_both_tests_must_agree() -> None:
    hashes = [perceptual_hash(one) for one in crops(2)]
    same = np.ones((2, 4))
    assert find_near_duplicates(same, hashes) == []
    assert find_near_duplicates(np.eye(2), [hashes[0], hashes[0]]) == []
    (found,) = find_near_duplicates(same, [hashes[0], hashes[0]])
    assert (found.first, found.second, found.bits, found.cosine) == (0, 1, 0, 1.0)


def slow_pairs(features: NDArray, hashes: list[NDArray]) -> set[tuple[int, int, int]]:
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = set()
    for first in range(len(hashes)):
        for second in range(first + 1, len(hashes)):
            bits = int(np.unpackbits(hashes[first] ^ hashes[second]).sum())
            if scaled[first] @ scaled[second] >= MIN_COSINE and bits <= MAX_BITS:
                found.add((first, second, bits))
    return found


def test_pairs_are_those_that_a_look_at_every_pair_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the pictures are more than a block, and the pairs lie across blocks."""
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (5, 32), dtype=np.uint8)[rng.integers(5, size=60)]
    flipped = np.packbits(rng.random((60, 256)) < 0.03, axis=1)
    features = rng.normal(1.0, 1.0, (60, 8))
    found = find_near_duplicates(features, list(hashes ^ flipped))
    expected = slow_pairs(features, list(hashes ^ flipped))
    assert {(one.first, one.second, one.bits) for one in found} == expected
    assert 20 < len(expected) < 60 * 59 / 2 / 5
    assert [(one.bits, -one.cosine) for one in found] == sorted((one.bits, -one.cosine) for one in found)


def test_alike_pictures_cost_no_look_at_each_pair() -> None:
    """All features point the same way, so every pair passes the first test: 4,498,500 of them."""
    hashes = np.random.default_rng(0).integers(0, 256, (3_000, 32), dtype=np.uint8)
    begun = time.process_time()
    assert find_near_duplicates(np.ones((3_000, 4)), list(hashes)) == []
    assert time.process_time() - begun < 5  # By a loop in Python, more than 20 s.


def test_a_hash_is_of_a_file_too(tmp_path: Path) -> None:
    image = crops(1)[0]
    image.save(tmp_path / "one.png")
    assert np.array_equal(perceptual_hash(tmp_path / "one.png"), perceptual_hash(image))
    assert perceptual_hash(image).shape == (32,)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_colour_has_a_hash(value: int) -> None:
    flat = Image.new("RGB", (50, 50), (value, value, value))
    assert perceptual_hash(flat).shape == (32,)
