"""Distance from the pretraining pictures: none from itself, and largest where the shift is."""

import numpy as np
import torch
from edgetl_factories import tiny_backbone
from numpy.typing import NDArray
from skimage import data

from edgetl.advise.reference import frechet, reference_distances
from edgetl.backbones import create_backbone


def photographs(size: int, count: int = 24) -> NDArray[np.uint8]:
    from PIL import Image

    rng, pictures = np.random.default_rng(0), [data.chelsea(), data.coffee(), data.astronaut()]
    found = []
    for number in range(count):
        pixels = pictures[number % 3]
        side = int(rng.integers(150, 290))
        y, x = (int(rng.integers(0, length - side)) for length in pixels.shape[:2])
        crop = Image.fromarray(pixels[y : y + side, x : x + side])
        found.append(np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(found)


def test_frechet_distance_of_known_normals() -> None:
    one = (np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    other = (np.array([3.0, 1.0]), np.array([1.0, 6.0]))
    assert frechet(one, other) == 9 + 16
    assert frechet(one, one) == 0


def test_pictures_that_the_norms_were_fitted_to_have_no_distance() -> None:
    backbone, rng = tiny_backbone(), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    drawn = backbone.trunk()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (backbone.native.mean, backbone.native.std))
    for layer in drawn.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
            layer.reset_running_stats()
    with torch.no_grad():
        drawn.train()((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std)
    drawn.eval()
    found = reference_distances(backbone, pixels)
    assert len(found) == 4
    # Each layer was fitted behind norms that used the batch's own statistics, so the first is exact.
    assert found[0].distance < 1e-4
    assert max(one.distance for one in found) < 0.05
    assert [one.depth for one in found] == [0, 1 / 3, 2 / 3, 1]
    assert all(0 < one.floor < 0.1 for one in found)


def test_noise_is_farther_from_imagenet_than_photographs_and_darkness_shows_at_the_input() -> None:
    backbone = create_backbone("efficientnet_lite0")
    photos = photographs(128, 16)
    noise = np.random.default_rng(0).integers(0, 256, photos.shape, dtype=np.uint8)
    distances = {
        name: [one.distance for one in reference_distances(backbone, pixels)]
        for name, pixels in (("photos", photos), ("noise", noise), ("dark", photos // 5))
    }
    assert distances["noise"][-1] > 2 * distances["photos"][-1]
    assert distances["dark"][0] > 10 * distances["photos"][0]
    assert distances["dark"][-1] < 2 * distances["photos"][-1]
