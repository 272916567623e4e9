"""The settings of a training as flags: a table with a line for each, and what puts them on a command."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

# For each field of `Recipe` with a flag: the flag where it is not the field's name, its type, and its help.
_FLAGS: tuple[tuple[str, str, type, str], ...] = (
    ("backbone", "", str, "Its name, see `edgetl backbones`, or a run to go on from."),
    ("weights", "", str, "default, none (trains from scratch), or a file of weights."),
    ("size", "", int, "Side of the network's input, in pixels."),
    ("crop", "", float, "Share of the picture's shorter side that is kept, 0.1 to 1."),
    ("views", "", str, "Mirrored copies that mean the same: none, hflip, flips."),
    ("augment", "", str, "Changed copies besides: auto, none, trivial."),
    ("unfreeze", "", str, "output, input, middle or auto; or stages of each step, as 2,3,9; 0: head alone."),
    ("epochs", "", int, "Epochs of each step."),
    ("batch_size", "", int, "Pictures in a batch."),
    ("learning_rate", "", str, "Of the last stage and the head: auto, or a number."),
    ("weight_decay", "", str, "Pull of the weights toward zero: auto, or a number."),
    ("l2_sp", "", str, "Pull of the weights toward their start: auto, or a number."),
    ("label_smoothing", "", str, "Share of the labels spread over all classes: auto, or a number."),
    ("mixup", "", str, "Alpha of mixing pictures in pairs: auto, or a number."),
    ("dropout", "", float, "Share of the features before the head that are dropped."),
    ("patience", "", int, "Epochs without progress that end a step; 0 never ends it."),
    ("precision", "", str, "Of training: f32, bf16, or auto, which tries."),
    ("class_weights", "", str, "auto, balanced or none."),
    ("target_accuracy", "", float, "On validation, 0 to 1; other backbones follow until it is reached."),
    ("candidates", "", str, "Those other backbones, by commas."),
    ("time_budget_s", "--time-budget", float, "Seconds for the whole training."),
    ("seed", "", int, "Of everything random."),
)


def with_recipe_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose `settings` take any keyword, the flags of a recipe; one not given is None."""
    own = inspect.signature(command)
    kept = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(flag or f"--{name.replace('_', '-')}", help=told)],
        )
        for name, flag, kind, told in _FLAGS
    ]
    last = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in kept[2:]]
    signature = own.replace(parameters=[*kept[:2], *flags, *last])

    def run(*given: Any, **named: Any) -> None:
        command(*given, **named)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return run
