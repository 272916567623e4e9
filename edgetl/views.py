"""The copies of a training picture that a training sees: mirrored ones, and ones changed by TrivialAugment.

Activations are computed once for each copy and cached, so a copy must be the same whenever it is made again:
what changes a picture is drawn from the picture's own pixels and the copy's number.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgetl.extraction import PictureCopy
from edgetl.features import VIEWS
from edgetl.recipe import Recipe

# Evidence for the number of cached copies is our own to make; four are what the head was measured with.
_TRIVIAL_COPIES = 4


@dataclass(frozen=True, slots=True)
class TrivialView:
    """A copy that one operation of random kind and strength has changed (Müller and Hutter 2021).

    seed: its number; the same picture and number give the same copy.
    """

    name: str
    seed: int

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change (n, height, width, 3), each picture in its own way."""
        return np.stack([self._changed(image) for image in images])

    def _changed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from torchvision.transforms import v2

        content = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(content[:7], "big") + self.seed)
            changed = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)(pixels)
        result: NDArray[np.uint8] = changed.permute(1, 2, 0).numpy()
        return result


def training_views(recipe: Recipe) -> tuple[PictureCopy, ...]:
    """Return the copies that a recipe asks for, the picture as it is first."""
    trivial = _TRIVIAL_COPIES if recipe.augment == "trivial" else 0
    changed = (TrivialView(f"trivial{number}", number) for number in range(trivial))
    return (*VIEWS[recipe.views], *changed)
