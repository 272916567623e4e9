"""What the gate is asked: a margin and limits, as flags of any command line and as JSON.

`check` and the report take the same flags from this table, so that they ask the same question. It knows no
parser of arguments and loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgetl_runtime.errors import InputError
from edgetl_runtime.percent import parse_points

if TYPE_CHECKING:
    from edgetl_runtime.rules import Limits
    from edgetl_runtime.strict_json import JSON
    from edgetl_runtime.verdict import Outcome, Verdict

__all__ = ["FLAGS", "Flag", "Judged", "Question", "asked_by_flags", "read_judged"]

_CLASS_MARGIN = "5pp"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of the gate, `--name VALUE`; a truth has no value. further: it is one of the limits."""

    name: str
    kind: Literal["text", "number", "truth"]
    told: str
    value: str = ""
    choices: tuple[str, ...] = ()
    further: bool = True

    @property
    def key(self) -> str:
        """The name as a variable."""
        return self.name.replace("-", "_")


FLAGS = (
    Flag("margin", "text", "drop of the metric that is allowed; default: 0.5pp", "MARGIN", further=False),
    Flag(
        "metric",
        "text",
        "what decides; default: accuracy",
        "METRIC",
        ("accuracy", "balanced_accuracy", "macro_f1"),
        further=False,
    ),
    Flag(
        "alpha",
        "number",
        "chance to pass a candidate whose true drop is the margin; default: 0.05",
        "ALPHA",
        further=False,
    ),
    Flag("across-machines", "truth", "compare receipts of different processors", further=False),
    Flag("per-class", "truth", "fail on a class's drop that is no chance"),
    Flag(
        "max-negative-flips",
        "text",
        "share of pictures that may be right before and wrong after, such as 1%",
        "SHARE",
    ),
    Flag(
        "class-margin",
        "text",
        "drop that any class may have, such as 5pp; with --per-class, default: 5pp",
        "SHARE",
    ),
    Flag("max-calibration-drift", "text", "how much the calibration error may rise, such as 2pp", "SHARE"),
    Flag(
        "max-latency-ratio",
        "number",
        "limit of the ratio of the times, each divided by its run's reference workload, such as 1.2",
        "RATIO",
    ),
    Flag("max-size-ratio", "number", "limit of the ratio of the size of the files", "RATIO"),
    Flag("max-memory-ratio", "number", "limit of the ratio of the peak memory", "RATIO"),
)


def _no_limits() -> Limits:
    from edgetl_runtime.rules import Limits

    return Limits()


@dataclass(frozen=True, slots=True)
class Question:
    """What `gate` is asked; its arguments mean the same."""

    margin: float = 0.005
    alpha: float = 0.05
    limits: Limits = field(default_factory=_no_limits)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judged:
    """What `check --json` wrote: the question, and enough of the verdict to know it again."""

    path: Path
    question: Question
    outcome: Outcome
    n: int
    lost: int
    gained: int

    def is_of(self, verdict: Verdict) -> bool:
        """Whether a verdict may be the one that was written."""
        own = (self.outcome, self.n, self.lost, self.gained)
        return own == (verdict.outcome, verdict.n, verdict.lost, verdict.gained)


def asked_by_flags(given: Mapping[str, Any]) -> Question:
    """Return what flags ask, by the keys of `FLAGS`; None and False ask nothing.

    Raises:
        InputError: A share cannot be read, or a limit is out of its range.
    """
    from edgetl_runtime.rules import Limits

    def share(key: str) -> float | None:
        text = given[key]
        return None if text is None else parse_points(text, "A share")

    default = Question()
    class_margin = share("class_margin")
    if class_margin is None and given["per_class"]:
        class_margin = parse_points(_CLASS_MARGIN)
    return Question(
        margin=default.margin if given["margin"] is None else parse_points(given["margin"]),
        alpha=default.alpha if given["alpha"] is None else given["alpha"],
        limits=Limits(
            metric=given["metric"] or default.limits.metric,
            negative_flips=share("max_negative_flips"),
            class_margin=class_margin,
            calibration=share("max_calibration_drift"),
            latency_ratio=given["max_latency_ratio"],
            size_ratio=given["max_size_ratio"],
            memory_ratio=given["max_memory_ratio"],
            across_machines=bool(given["across_machines"]),
        ),
    )


def read_judged(path: Path) -> Judged:
    """Read what `check --json` printed.

    Raises:
        InputError: The file cannot be read, or is something else.
    """
    from edgetl_runtime.strict_json import Fields, parse
    from edgetl_runtime.verdict import Outcome

    try:
        text = path.read_text(encoding="utf-8-sig")  # A shell on Windows may put a mark first.
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Make it: edgetl check … --json > FILE") from error
    keys = ("asked", "outcome", "n", "lost", "gained")
    found = parse(text, str(path), InputError)
    if not isinstance(found, dict) or not found.keys() >= set(keys):
        raise InputError(
            f"{path} is not what `check --json` of this edgetl prints: it lacks one of {', '.join(keys)}. "
            "Make it again: edgetl check … --json > FILE"
        )
    f = Fields({key: found[key] for key in keys}, str(path), keys, InputError)
    return Judged(
        path=path,
        question=_question(f.value("asked"), f"{path}: asked"),
        outcome=f.choice("outcome", get_args(Outcome)),
        n=f.integer("n"),
        lost=f.integer("lost"),
        gained=f.integer("gained"),
    )


def _question(value: JSON, where: str) -> Question:
    from edgetl_runtime.rules import Limits
    from edgetl_runtime.strict_json import Fields
    from edgetl_runtime.verdict import Metric

    f = Fields(value, where, [one.name for one in fields(Question)], InputError)
    known = [one.name for one in fields(Limits)]
    limits = Fields(f.value("limits"), f"{where}.limits", known, InputError)
    numbers = [name for name in known if name not in ("metric", "across_machines")]
    return Question(
        margin=f.number("margin"),
        alpha=f.number("alpha"),
        limits=Limits(
            metric=limits.choice("metric", get_args(Metric)),
            across_machines=bool(limits.optional_truth("across_machines")),
            **{name: limits.optional_number(name) for name in numbers},
        ),
    )
