"""The settings of a training as flags: a table with a line for each, and what puts them on a command."""

from collections.abc import Callable

from edgetl.cli.flags import flag, with_flags

# For each field of `Recipe` with a flag: the flag where it is not the field's name, its type, and its help.
_FLAGS: tuple[tuple[str, str, type, str], ...] = (
    ("backbone", "", str, "Its name, see `edgetl backbones`; a run to go on from; or auto, which measures."),
    ("weights", "", str, "default, none (trains from scratch), or a file of weights."),
    ("size", "", int, "Side of the network's input, in pixels."),
    ("crop", "", float, "Share of the picture's shorter side that is kept, 0.1 to 1."),
    ("views", "", str, "Mirrored copies that mean the same: none, hflip, flips."),
    ("augment", "", str, "Changed copies besides: auto, none, trivial."),
    ("unfreeze", "", str, "output, input, middle or auto; or stages of each step, as 2,3,9; 0: head alone."),
    ("epochs", "", int, "Epochs of each step."),
    ("batch_size", "", int, "Pictures in a batch."),
    ("learning_rate", "", str, "Of the last stage and the head: auto, or a number."),
    ("decay", "", float, "What the rate is divided by at each stage toward the input; 1: all the same."),
    ("warmup", "", float, "Share of a step in which the rate rises."),
    ("ema", "", float, "Decay of the weights' moving average, by batch; 0: the weights as they are."),
    ("weight_decay", "", str, "Pull of the weights toward zero: auto, or a number."),
    ("l2_sp", "", str, "Pull of the weights toward their start: auto, or a number."),
    ("label_smoothing", "", str, "Share of the labels spread over all classes: auto, or a number."),
    ("mixup", "", str, "Alpha of mixing pictures in pairs: auto, or a number."),
    ("dropout", "", float, "Share of the features before the head that are dropped."),
    ("patience", "", int, "Epochs without progress that end a step; 0 never ends it."),
    ("precision", "", str, "Of training: f32, bf16, or auto, which tries."),
    ("class_weights", "", str, "auto, balanced or none."),
    ("target_accuracy", "", float, "On validation, 0 to 1; other backbones follow until it is reached."),
    ("candidates", "", str, "Those other backbones, by commas; auto chooses from them."),
    ("max_latency_ms", "", float, "Of a backbone and one picture on this machine; slower ones are refused."),
    ("max_size_mb", "", float, "Of a backbone's files as fp16; larger ones are refused."),
    ("time_budget_s", "--time-budget", float, "Seconds for the whole training."),
    ("seed", "", int, "Of everything random."),
)


def with_recipe_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose `settings` take any keyword, the flags of a recipe; one not given is None."""
    flags = [
        flag(name, kind, option or f"--{name.replace('_', '-')}", told) for name, option, kind, told in _FLAGS
    ]
    return with_flags(command, flags, after=2)
