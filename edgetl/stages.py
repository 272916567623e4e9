"""Which layers are trained at each step, from the output toward the input. Knows sizes, no data."""

from collections.abc import Sequence

from edgetl.backbones import Backbone
from edgetl_runtime.errors import InputError

# The first step trains at least this share of the parameters, each next one but the last at least twice as
# many as the one before it: fewer would cost a pass over the data and change little.
_FIRST_SHARE = 0.2
_GROWTH = 2.0


def plan_steps(backbone: Backbone, requested: Sequence[int] | None) -> tuple[int, ...]:
    """Return how many stages, counted from the output, each step trains, rising.

    Raises:
        InputError: more stages are requested than the backbone has.
    """
    count = len(backbone.stages)
    if requested is None:
        return derive_steps([_parameters(backbone, number) for number in range(count)])
    if requested and max(requested) > count:
        raise InputError(f"{backbone.name!r} has {count} stages, --unfreeze asks for {max(requested)}.")
    return tuple(requested)


def derive_steps(parameters: Sequence[int]) -> tuple[int, ...]:
    """Derive the steps from the number of parameters in each stage, input side first.

    The last step trains all stages, whatever that adds to the one before.
    """
    total = sum(parameters)
    if not total:
        return ()
    steps: list[int] = []
    wanted = _FIRST_SHARE * total
    trained = 0
    for number, size in enumerate(reversed(parameters), start=1):
        trained += size
        if trained >= wanted:
            steps.append(number)
            wanted = _GROWTH * trained
    everything = len(parameters)
    return tuple(steps) if everything in steps else (*steps, everything)


def _parameters(backbone: Backbone, number: int) -> int:
    return sum(parameter.numel() for parameter in backbone.stages[number].module.parameters())
