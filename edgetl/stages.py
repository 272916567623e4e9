"""Which stages are trained at each step: from the output toward the input or back. Knows no data."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetl.backbones import Backbone
from edgetl.recipe import Unfreeze
from edgetl_runtime.errors import InputError

# The first step trains at least this share of the parameters, each next one but the last at least twice as
# many as the one before it: fewer would cost a pass over the data and change little.
_FIRST_SHARE = 0.2
_GROWTH = 2.0


@dataclass(frozen=True, slots=True)
class Span:
    """The stages that a step trains, from number `first` up to `end`, without it. The head always is."""

    first: int
    end: int

    def name(self, stages: int) -> str:
        """Name it by what it trains, of so many stages."""
        count = self.end - self.first
        if count == stages:
            return "all stages"
        if self.end == stages:
            return "last stage" if count == 1 else f"last {count} stages"
        if self.first == 0:
            return "first stage" if count == 1 else f"first {count} stages"
        return f"stages {self.first + 1} to {self.end}"


def plan_spans(backbone: Backbone, unfreeze: Unfreeze) -> tuple[Span, ...]:
    """Return what each step trains; a direction must have been chosen already where it was left open.

    Raises:
        InputError: more stages are requested than the backbone has.
    """
    count = len(backbone.stages)
    if isinstance(unfreeze, tuple):
        if unfreeze and max(unfreeze) > count:
            raise InputError(f"{backbone.name!r} has {count} stages, --unfreeze asks for {max(unfreeze)}.")
        return tuple(Span(count - one, count) for one in unfreeze)
    if unfreeze == "output":
        steps = derive_steps([_parameters(backbone, number) for number in range(count)])
        return tuple(Span(count - one, count) for one in steps)
    first = blocks(count)["input" if unfreeze == "input" else "middle"]
    everything = Span(0, count)
    return (everything,) if first == everything else (first, everything)


def blocks(stages: int) -> dict[str, Span]:
    """Cut so many stages into thirds: input, middle and output, none of them empty."""
    low, high = max(1, round(stages / 3)), min(stages - 1, round(2 * stages / 3))
    if high <= low:
        return dict.fromkeys(("input", "middle", "output"), Span(0, stages))
    return {"input": Span(0, low), "middle": Span(low, high), "output": Span(high, stages)}


def derive_steps(parameters: Sequence[int]) -> tuple[int, ...]:
    """Derive how many stages, counted from the output, each step trains from the parameters in each stage.

    Args:
        parameters: input side first.

    Returns:
        Rising. The last step trains everything, whatever that adds to the one before, unless it adds nothing:
        stages at the input may have no parameters.
    """
    total = sum(parameters)
    if not total:
        return ()
    steps: list[int] = []
    wanted = _FIRST_SHARE * total
    trained = in_step = 0
    for number, size in enumerate(reversed(parameters), start=1):
        trained += size
        if trained >= wanted:
            steps.append(number)
            wanted, in_step = _GROWTH * trained, trained
    return tuple(steps) if in_step == total else (*steps, len(parameters))


def _parameters(backbone: Backbone, number: int) -> int:
    return sum(parameter.numel() for parameter in backbone.stages[number].module.parameters())
