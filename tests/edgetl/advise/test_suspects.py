"""Wrong labels and near duplicates: planted ones are found, and nothing where nothing is."""

import time
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from edgetl.advise import duplicates
from edgetl.advise.duplicates import MAX_BITS, MIN_COSINE, Alike, find_near_duplicates, perceptual_hash
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
    found = groups_of(features_of(everything), [perceptual_hash(one) for one in everything])
    groups = [set(one.rows) for one in found]
    for row in range(3):
        assert sum({row, 24 + row} <= group for group in groups) == 1
    assert len(groups) <= 5  # Crops may overlap by chance.
    assert sum(map(len, groups)) <= 10


def groups_of(features: NDArray, hashes: list[NDArray], splits: str = "") -> list[Alike]:
    """Group different pictures, all of one split if none are given."""
    return find_near_duplicates(features, hashes, range(len(hashes)), splits or "t" * len(hashes))


def test_both_tests_must_agree() -> None:
    hashes = [perceptual_hash(one) for one in crops(2)]
    same = np.ones((2, 4))
    assert groups_of(same, hashes) == []
    assert groups_of(np.eye(2), [hashes[0], hashes[0]]) == []
    assert groups_of(same, [hashes[0], hashes[0]]) == [Alike((0, 1), 0, 1.0, 0)]


def differing(*bits: int) -> list[NDArray]:
    """Make hashes that differ from the first in so many bits, each in bits of its own."""
    found, begin = [], 0
    for count in bits:
        flags = np.zeros(256, np.uint8)
        flags[begin : begin + count] = 1
        found.append(np.packbits(flags))
        begin += count
    return found


def test_the_nearest_two_come_first_and_a_pair_across_splits_before_any_other() -> None:
    hashes = differing(0, 2, 5, 1)
    assert groups_of(np.ones((4, 4)), hashes) == [Alike((0, 3, 1, 2), 1, 1.0, 0)]
    assert groups_of(np.ones((4, 4)), hashes, "ttvt") == [Alike((0, 2, 3, 1), 5, 1.0, 4)]


def test_groups_across_splits_come_before_nearer_ones_of_one_split() -> None:
    features = np.repeat(np.eye(2), 2, axis=0)
    found = groups_of(features, differing(0, 1, 3, 5), "ttvt")
    assert [(one.rows, one.across) for one in found] == [((2, 3), 2), ((0, 1), 0)]


def test_what_is_near_to_the_near_is_of_one_group() -> None:
    """Each hash is 10 bits from the one before it: the first and the last are 30 apart."""
    hashes = [np.packbits(np.arange(256) < 10 * number) for number in range(4)]
    (found,) = groups_of(np.ones((4, 4)), hashes, "ttvv")
    assert (sorted(found.rows), found.rows[:2], found.bits, found.across) == ([0, 1, 2, 3], (1, 2), 10, 2)


def test_exact_copies_alone_are_no_group_and_with_a_near_picture_all_are_of_it() -> None:
    features, hashes = np.ones((3, 4)), differing(0, 0, 4)
    assert find_near_duplicates(features[:2], hashes[:2], "aa", "tv") == []
    (found,) = find_near_duplicates(features, hashes, "aab", "tvt")
    assert (found.rows, found.bits, found.across) == ((1, 2, 0), 4, 2)


def slow_pairs(features: NDArray, hashes: list[NDArray]) -> set[tuple[int, int, int]]:
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = set()
    for first in range(len(hashes)):
        for second in range(first + 1, len(hashes)):
            bits = int(np.unpackbits(hashes[first] ^ hashes[second]).sum())
            if scaled[first] @ scaled[second] >= MIN_COSINE and bits <= MAX_BITS:
                found.add((first, second, bits))
    return found


def slow_groups(n: int, pairs: set[tuple[int, int, int]]) -> list[list[int]]:
    groups = [{row} for row in range(n)]
    for first, second, _ in pairs:
        one, other = (next(group for group in groups if row in group) for row in (first, second))
        if one is not other:
            groups.remove(other)
            one |= other
    return sorted(sorted(group) for group in groups if len(group) > 1)


def test_groups_are_those_that_a_look_at_every_pair_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the pictures are more than a block, and the pairs lie across blocks."""
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (5, 32), dtype=np.uint8)[rng.integers(5, size=60)]
    flipped = np.packbits(rng.random((60, 256)) < 0.03, axis=1)
    features = rng.normal(1.0, 1.0, (60, 8))
    found = groups_of(features, list(hashes ^ flipped))
    pairs = slow_pairs(features, list(hashes ^ flipped))
    assert sorted(sorted(one.rows) for one in found) == slow_groups(60, pairs)
    for one in found:
        within = [bits for first, second, bits in pairs if {first, second} <= set(one.rows)]
        assert (*sorted(one.rows[:2]), one.bits) in pairs
        assert one.bits == min(within)
    assert 20 < len(pairs) < 60 * 59 / 2 / 5
    assert [(one.bits, -one.cosine) for one in found] == sorted((one.bits, -one.cosine) for one in found)


def test_alike_pictures_cost_no_look_at_each_pair() -> None:
    """All features point the same way, so every pair passes the first test: 4,498,500 of them."""
    hashes = np.random.default_rng(0).integers(0, 256, (3_000, 32), dtype=np.uint8)
    begun = time.process_time()
    assert groups_of(np.ones((3_000, 4)), list(hashes)) == []
    assert time.process_time() - begun < 5  # By a loop in Python, more than 20 s.


def test_thousands_of_frames_of_one_view_are_one_group_and_take_little_memory() -> None:
    """Their pairs are 4,498,500 again, and all are near: a list of them took a gigabyte."""
    flipped = np.packbits(np.random.default_rng(0).random((3_000, 256)) < 0.01, axis=1)
    tracemalloc.start()
    (found,) = groups_of(np.ones((3_000, 4)), list(flipped), 2_999 * "t" + "v")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found.rows), found.across) == (3_000, 3_000)
    assert 2_999 in found.rows[:2]
    assert peak < 150e6


def test_a_hash_is_of_a_file_too(tmp_path: Path) -> None:
    image = crops(1)[0]
    image.save(tmp_path / "one.png")
    assert np.array_equal(perceptual_hash(tmp_path / "one.png"), perceptual_hash(image))
    assert perceptual_hash(image).shape == (32,)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_colour_has_a_hash(value: int) -> None:
    flat = Image.new("RGB", (50, 50), (value, value, value))
    assert perceptual_hash(flat).shape == (32,)
