"""What `validate` measured, as one frozen object and one strict JSON file, on a workstation as on a device.

It knows neither engines nor pictures: two receipts are all that the gate needs.
"""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

import numpy as np

from edgetl_runtime.atomic import write_text
from edgetl_runtime.environment import Environment
from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.metrics import Figure
from edgetl_runtime.performance import Performance
from edgetl_runtime.pictures import Task, Unreadable
from edgetl_runtime.predictions import COLUMNS, OPTIONAL, Predictions
from edgetl_runtime.simulated import is_simulated
from edgetl_runtime.strict_json import JSON, Fields, brief

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMAT_VERSION", "BundleId", "DatasetId", "Latency", "Receipt", "Stage"]

FORMAT_VERSION = 1
MAX_RECEIPT_BYTES = 512 * 2**20
MAX_CLASSES = 100_000

# preprocess is decode and resize; total is all of it, from the file to the answer.
Stage = Literal["decode", "resize", "preprocess", "infer", "outputs", "total"]
REQUIRED_STAGES: tuple[Stage, ...] = ("preprocess", "infer", "total")


@dataclass(frozen=True, slots=True)
class BundleId:
    """The bundle that was measured. id: the SHA-256 of its manifest."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class DatasetId:
    """The pictures asked: `n` of the dataset with this fingerprint, from `split` (None: from all)."""

    name: str
    fingerprint: str
    n: int
    split: str | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time that one picture takes, over `n` pictures."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    n: int

    @classmethod
    def of(cls, times_ms: NDArray[np.float64]) -> Latency:
        """Return the percentiles of the times of single pictures, in milliseconds."""
        p50, p95, p99 = np.round(np.percentile(times_ms, (50, 95, 99)), 4).tolist()
        return cls(p50, p95, p99, len(times_ms))

    @classmethod
    def bound(cls, parts: Sequence[Latency]) -> Latency:
        """Return what the percentiles over all parts' pictures lie at or below: the largest of the parts'.

        Of each part 5 % are slower than its own p95, so of all no more than 5 % are slower than the largest.
        Interpolation between two pictures may hide one picture of each part.
        """
        return cls(
            p50_ms=max(part.p50_ms for part in parts),
            p95_ms=max(part.p95_ms for part in parts),
            p99_ms=max(part.p99_ms for part in parts),
            n=sum(part.n for part in parts),
        )

    def __post_init__(self) -> None:
        if not (0 <= self.p50_ms <= self.p95_ms <= self.p99_ms < float("inf") and self.n >= 1):
            raise ReceiptError(f"Latency needs 0 <= p50 <= p95 <= p99 and n >= 1, got {self!r}.")


@dataclass(frozen=True, slots=True, eq=False)
class Receipt:
    """The outcome of running one variant of a bundle over a dataset on a device.

    created: ISO 8601 with the offset from UTC. per_class: of each class that the pictures show.
    latency: of `REQUIRED_STAGES` at least, but empty where the device is simulated. performance: None there,
    and in receipts from before it was measured.
    errors: the pictures that were left out, with paths relative to the dataset.
    """

    created: str
    bundle: BundleId
    variant: str
    device: str
    dataset: DatasetId
    task: Task
    classes: tuple[str, ...]
    figures: Mapping[str, Figure]
    per_class: Mapping[str, Figure]
    latency: Mapping[Stage, Latency]
    size_bytes: int
    environment: Environment
    performance: Performance | None = field(default=None, kw_only=True)
    errors: tuple[Unreadable, ...]
    predictions: Predictions

    def __post_init__(self) -> None:
        n = len(self.predictions)
        dated = _names_its_offset(self.created)
        _require(dated, "created must be a date and time with its offset from UTC", self.created)
        known = set(self.classes)
        different = 1 <= len(known) == len(self.classes) <= MAX_CLASSES
        _require(different, f"classes must be 1 to {MAX_CLASSES:,} different names", self.classes)
        _require(
            self.predictions.classes == len(known), "predictions.classes must count the classes", len(known)
        )
        _require(self.predictions.task == self.task, "task must be that of the predictions", self.task)
        _require(
            self.dataset.n == n, f"dataset.n must be the {n:,} pictures of the predictions", self.dataset.n
        )
        _require(known.issuperset(self.per_class), "per_class must name classes only", list(self.per_class))
        self._require_times()
        _require(self.size_bytes >= 0, "size_bytes must not be negative", self.size_bytes)

    def _require_times(self) -> None:
        if is_simulated(self.device):
            told = [*self.latency] + ["performance"] * (self.performance is not None)
            _require(not told, f"a receipt of {brief(self.device)} must tell no times", told)
            return
        missing = [stage for stage in REQUIRED_STAGES if stage not in self.latency]
        _require(not missing, f"latency must tell {', '.join(REQUIRED_STAGES)}; missing", missing)

    def write(self, path: Path) -> None:
        """Write the receipt whole or not at all.

        Raises:
            ReceiptError: it has more than is ever read.
        """
        text = self.to_json()
        if len(text) > MAX_RECEIPT_BYTES:
            raise ReceiptError(
                f"A receipt of {len(self.predictions):,} pictures would have {len(text) / 2**20:,.0f} MiB, "
                f"and one of more than {MAX_RECEIPT_BYTES // 2**20} is not read. Validate fewer, by "
                "--limit, or add up fewer receipts."
            )
        write_text(path, text)

    @classmethod
    def read(cls, path: Path | str) -> Receipt:
        """Read a receipt, whoever wrote it.

        Raises:
            ReceiptError: The file is missing, too large, no receipt, or made by a newer edgetl.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MAX_RECEIPT_BYTES:
                raise ReceiptError(
                    f"{path} is no receipt: it has more than {MAX_RECEIPT_BYTES // 2**20} MiB."
                )
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            remedy = "Make one with: edgetl-runtime validate BUNDLE DATA --out RECEIPT.json"
            raise ReceiptError(f"The receipt {path} cannot be read ({error.strerror}). {remedy}") from error
        except UnicodeDecodeError as error:
            raise ReceiptError(f"{path} is no receipt: it is not text.") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, where: str = "receipt") -> Receipt:
        """Parse strictly.

        Args:
            where: how messages name the receipt.

        Raises:
            ReceiptError: a key is unknown or missing, or a value is impossible.
        """
        value = _load(text, where)
        _refuse_other_versions(value, where)
        try:
            return _receipt(Fields(value, where, _KEYS, ReceiptError, optional=("performance",)))
        except (InputError, ValueError) as error:  # a figure out of range, a date that is none, …
            message = str(error)
            raise ReceiptError(
                message if message.startswith(where) else f"{where} is damaged: {message}"
            ) from error

    def to_json(self) -> str:
        """Return JSON with one line per field, so that the head stays readable above the long columns."""
        value = {name: getattr(self, name) for name in _names(type(self))}
        nested = ("bundle", "dataset", "environment")
        value |= {name: dataclasses.asdict(getattr(self, name)) for name in nested}
        value |= {
            "figures": {name: _without_name(figure) for name, figure in self.figures.items()},
            "per_class": {name: dataclasses.asdict(figure) for name, figure in self.per_class.items()},
            "latency": {stage: dataclasses.asdict(latency) for stage, latency in self.latency.items()},
            "performance": None if self.performance is None else dataclasses.asdict(self.performance),
            "errors": [{"path": error.path.as_posix(), "reason": error.reason} for error in self.errors],
            "predictions": self.predictions.to_json(),
        }
        items = {"format_version": FORMAT_VERSION, **value}.items()
        return "{\n" + ",\n".join(f"{_compact(name)}: {_compact(item)}" for name, item in items) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _without_name(figure: Figure) -> dict[str, JSON]:
    return {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}


def _names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _load(text: str, where: str) -> JSON:
    """Parse JSON. Its millions of numbers are not checked one by one: `Predictions` lets numpy do that.

    The collector of cycles looks through all of them again and again, a quarter of the time, and finds none.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    collecting = gc.isenabled()
    gc.disable()
    try:
        value: JSON = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"{where} is no receipt: {error}.") from error
    finally:
        if collecting:
            gc.enable()
    return value


def _refuse_other_versions(value: JSON, where: str) -> None:
    version = value.get("format_version") if isinstance(value, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise ReceiptError(
            f"{where} has format version {version}, made by a newer edgetl; this one reads up to "
            f"{FORMAT_VERSION}. Run: pip install --upgrade edgetl-runtime"
        )
    if version != FORMAT_VERSION:
        raise ReceiptError(
            f"{where} is no receipt: format_version must be {FORMAT_VERSION}, got {brief(version)}."
        )


_KEYS = ("format_version", *_names(Receipt))


def _fields(value: JSON, where: str, *keys: str) -> Fields:
    return Fields(value, where, keys, ReceiptError)


def _receipt(f: Fields) -> Receipt:
    task, classes = f.choice("task", get_args(Task)), f.texts("classes")
    where = f"{f.where}.predictions"
    columns = Fields(f.value("predictions"), where, COLUMNS, ReceiptError, optional=OPTIONAL)
    required = () if is_simulated(f.text("device")) else REQUIRED_STAGES
    optional = [stage for stage in get_args(Stage) if stage not in required]
    where = f"{f.where}.latency"
    latency = Fields(f.value("latency"), where, get_args(Stage), ReceiptError, optional=optional)
    return Receipt(
        created=f.text("created"),
        bundle=_bundle(_fields(f.value("bundle"), f"{f.where}.bundle", *_names(BundleId))),
        variant=f.text("variant"),
        device=f.text("device"),
        dataset=_dataset(_fields(f.value("dataset"), f"{f.where}.dataset", *_names(DatasetId))),
        task=task,
        classes=classes,
        figures={
            name: _figure(name, value, f"{f.where}.figures.{name}")
            for name, value in f.object("figures").items()
        },
        per_class={
            name: _class_figure(_fields(value, f"{f.where}.per_class[{name!r}]", *_names(Figure)))
            for name, value in f.object("per_class").items()
        },
        latency={
            stage: _latency(latency.value(stage), f"{where}.{stage}")
            for stage in get_args(Stage)
            if stage in latency
        },
        size_bytes=f.integer("size_bytes"),
        environment=_environment(f.value("environment"), f"{f.where}.environment"),
        performance=_performance(f) if "performance" in f else None,
        errors=tuple(
            _error(_fields(value, where, *_names(Unreadable))) for where, value in f.items("errors")
        ),
        predictions=Predictions.from_json(columns, task, len(classes)),
    )


def _bundle(f: Fields) -> BundleId:
    return BundleId(id=f.text("id"), name=f.text("name"))


def _dataset(f: Fields) -> DatasetId:
    split = None if f.value("split") is None else f.text("split")
    return DatasetId(name=f.text("name"), fingerprint=f.text("fingerprint"), n=f.integer("n"), split=split)


def _figure(name: str, value: JSON, where: str) -> Figure:
    f = _fields(value, where, "value", "low", "high", "n")
    return Figure(name, f.number("value"), f.number("low"), f.number("high"), f.integer("n"))


def _class_figure(f: Fields) -> Figure:
    return Figure(f.text("name"), f.number("value"), f.number("low"), f.number("high"), f.integer("n"))


def _latency(value: JSON, where: str) -> Latency:
    f = _fields(value, where, *_names(Latency))
    return Latency(f.number("p50_ms"), f.number("p95_ms"), f.number("p99_ms"), f.integer("n"))


def _environment(value: JSON, where: str) -> Environment:
    f = Fields(value, where, _names(Environment), ReceiptError, optional=("notes",))
    versions = _fields(f.value("versions"), f"{f.where}.versions", *f.object("versions"))
    return Environment(
        cpu=f.text("cpu"),
        flags=f.texts("flags"),
        cores=f.integer("cores"),
        os=f.text("os"),
        machine=f.text("machine"),
        python=f.text("python"),
        versions={name: versions.text(name) for name in f.object("versions")},
        notes=f.texts("notes") if "notes" in f else (),
    )


def _performance(f: Fields) -> Performance | None:
    value = f.value("performance")
    return None if value is None else Performance.from_json(value, f"{f.where}.performance")


def _error(f: Fields) -> Unreadable:
    return Unreadable(Path(f.text("path")), f.text("reason"))


def _names_its_offset(created: str) -> bool:
    try:
        return datetime.fromisoformat(created).tzinfo is not None
    except ValueError:  # It quotes all of the text, however long.
        return False


def _require(good: object, rule: str, got: object) -> None:
    if not good:
        raise ReceiptError(f"{rule}, got {brief(got)}.")
