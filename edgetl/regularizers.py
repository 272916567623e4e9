"""What keeps a model from learning its training pictures by heart, switched by how many there are.

Fancy regularizers are worth little where pictures are many and much where they are few, so "auto" looks at
pictures per class. Every one can be named in the recipe instead.
"""

from dataclasses import replace

from edgetl.recipe import Recipe

# Below so many pictures for each class, smoothing labels is left out and weights are held at their start
# (L2-SP's own evaluation: the fewer pictures, the more it gains).
FEW_PER_CLASS = 20
# From here mixup pays (BiT's HyperRule, Kolesnikov et al. 2020, section 3.3).
MANY = 20_000
_LABEL_SMOOTHING, _MIXUP, _L2_SP, _WEIGHT_DECAY = 0.1, 0.1, 0.1, 0.01


def with_regularizers(recipe: Recipe, pictures: int, classes: int) -> Recipe:
    """Return the recipe with a number for every regularizer that it leaves to us.

    Args:
        pictures: for training.
    """
    few = pictures / classes < FEW_PER_CLASS
    l2_sp = _number(recipe.l2_sp, _L2_SP if few else 0.0)
    return replace(
        recipe,
        augment="none" if recipe.augment == "auto" else recipe.augment,
        label_smoothing=_number(recipe.label_smoothing, 0.0 if few else _LABEL_SMOOTHING),
        mixup=_number(recipe.mixup, _MIXUP if pictures >= MANY else 0.0),
        l2_sp=l2_sp,
        # Decay toward zero and a pull toward the start are two answers to one question.
        weight_decay=_number(recipe.weight_decay, 0.0 if l2_sp else _WEIGHT_DECAY),
    )


def _number(value: float | str, automatic: float) -> float:
    return automatic if isinstance(value, str) else value
