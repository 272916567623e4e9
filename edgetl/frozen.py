"""A backbone's stages as one module from pixels to activations and features. Knows no engine and no cache."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgetl.backbones import Backbone
from edgetl.backbones.depths import Carried, packed


class FrozenStages(nn.Module):
    """Pictures as the device sees them, (n, size, size, 3) uint8, to activations and pooled features.

    Returns the activations after each number of stages in `cuts`, then the features (n, width).
    key: what they compute, as a hashable value; like the feature cache it trusts `Backbone.weights_id`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, cuts: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList([stage.module for stage in backbone.stages])
        self.cuts = tuple(cuts)
        native = backbone.native
        self.key = (backbone.name, backbone.weights_id, self.cuts, native.mean, native.std)
        for name, values in (("mean", native.mean), ("std", native.std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalise, then run the stages one after another."""
        x = (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        outputs = [x] if 0 in self.cuts else []
        for done, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if done in self.cuts:
                outputs.append(packed(x, self.stages[done]) if isinstance(x, Carried) else x)
        return (*outputs, x)

    def shapes(self, size: int) -> tuple[tuple[int, ...], ...]:
        """Return the shape that each output has for one picture of this size."""
        with torch.no_grad():
            outputs = self(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        return tuple(tuple(output.shape[1:]) for output in outputs)
