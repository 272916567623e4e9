"""The manifest of a bundle: what a device must know of a model, as frozen dataclasses and as strict JSON.

Knows nothing about files on disk: `bundle` holds the manifest against them. `docs/bundle-format.md` is the
specification; whatever it says MUST is checked here when an object is made, whoever makes it.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from edgetl_runtime.errors import BundleError
from edgetl_runtime.integer_core import IntegerCore, read_core
from edgetl_runtime.pictures import Task
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.strict_json import JSON, Fields, brief, canonical, check, parse

FORMAT_VERSION = 1
MANIFEST_NAME, SIGNATURE_NAME = "manifest.json", "signature.json"

MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES = 16 * 2**20, 4_096
# The files that the manifest cannot list, and the most bytes that each may have.
UNLISTED = {MANIFEST_NAME: MAX_MANIFEST_BYTES, SIGNATURE_NAME: MAX_SIGNATURE_BYTES}
MAX_BUNDLE_BYTES = 4 * 2**30
MAX_FILES = 10_000
MAX_CLASSES = 100_000
MAX_VARIANTS = 100
MAX_CASES = 100
MAX_TEXT = 1_000
MAX_TOLERANCE = 100.0
MAX_TEMPERATURE = 1_000.0
MAX_BATCH = 4_096

# What is compiled for an Ethos-U is opened by firmware, and by no engine of this package.
EngineName = Literal["onnxruntime", "openvino", "ethos-u"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Execution = Literal["f32", "bf16", "f16"]
Head = Literal["float", "resolved"]

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+-])?"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the bundle.

    path: relative, in parts of ASCII letters, digits and `_ . + -` between slashes, so that it means the same
    file on every system and none outside the bundle. sha256: 64 hex digits.
    """

    path: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        _require(
            len(self.path) <= 200 and _PATH.fullmatch(self.path),
            "FileEntry.path must be relative, of at most 200 letters, digits and '_.+-' between slashes",
            self.path,
        )
        own = self.path.lower() not in UNLISTED
        _require(own, "FileEntry.path must not name the manifest itself, nor its signature", self.path)
        _require(_SHA256.fullmatch(self.sha256), f"{self.path}: sha256 must be 64 hex digits", self.sha256)
        _require(0 <= self.bytes <= MAX_BUNDLE_BYTES, f"{self.path}: bytes must be 0 to 4 GiB", self.bytes)


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine file with a storage precision and an execution precision.

    model: the file that the engine opens, one of `files`. temperature: probabilities are those of
    logits / temperature. tolerance: the largest absolute difference from its reference logits.
    contract: the figures measured when the variant was written; any JSON. reject_below: a prediction of less
    confidence gets no label, since confidence differs by variant; None rejects nothing. batch: its files take
    exactly so many pictures; None where they leave it open. device: the kind of device that the variant was
    made for and measured on, and no other may run it; None: any of its engine. core: what firmware must know
    of a variant for the engine "ethos-u"; None for all others.
    """

    name: str
    engine: EngineName
    precision: Precision
    execution: Execution
    model: str
    files: tuple[str, ...]
    head: Head
    temperature: float
    tolerance: float
    contract: dict[str, JSON]
    reject_below: float | None = None
    batch: int | None = None
    device: str | None = None
    core: IntegerCore | None = None

    def __post_init__(self) -> None:
        _require_name("Variant.name", self.name)
        if self.device is not None:
            _require_name(f"Variant {self.name!r}: device", self.device)
        where = f"Variant {self.name!r}:"
        _require_different(f"{where} files", self.files)
        _require(self.model in self.files, f"{where} model must be one of its files", self.model)
        _require_positive(f"{where} temperature", self.temperature, MAX_TEMPERATURE)
        _require_positive(f"{where} tolerance", self.tolerance, MAX_TOLERANCE)
        check(self.contract, f"{where} contract", BundleError)
        good = self.reject_below is None or 0 <= self.reject_below <= 1
        _require(good, f"{where} reject_below must be 0 to 1 or null", self.reject_below)
        good = self.batch is None or 1 <= self.batch <= MAX_BATCH
        _require(good, f"{where} batch must be 1 to {MAX_BATCH:,} or null", self.batch)
        good = (self.core is not None) == (self.engine == "ethos-u")
        _require(good, f"{where} core must be there for the engine 'ethos-u', and for no other", self.engine)
        named = () if self.core is None else (self.core.reference, self.core.head)
        _require(set(named) <= set(self.files), f"{where} core must name files of the variant", named)

    def fits(self, device: str) -> bool:
        """Say whether a device, such as "npu.1", is of the kind that the variant was made for."""
        return self.device in (None, device.lower().partition(".")[0])

    @property
    def logits(self) -> str:
        """The file of its reference logits: float32 (cases, classes), in NumPy's format."""
        return f"reference/logits/{self.name}.npy"


@dataclass(frozen=True, slots=True)
class Case:
    """A reference case.

    picture: an encoded file. pixels: a PNG of what preprocessing must give for it, which is also the input of
    the reference logits.
    """

    name: str
    picture: str
    pixels: str

    def __post_init__(self) -> None:
        _require_name("Case.name", self.name)


@dataclass(frozen=True, slots=True)
class Normalization:
    """Mean and standard deviation inside the graph, per channel of RGB in 0–1; information, never applied."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            good = len(numbers) == 3 and all(math.isfinite(number) for number in numbers)
            _require(good, f"Normalization.{name} must be 3 finite numbers", numbers)
        _require(min(self.std) > 0, "Normalization.std must be above 0", self.std)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a device must know of a model.

    variants: in order of preference. cases: at least two, since one cannot unmask an engine that is constant.
    """

    format_version: int
    name: str
    task: Task
    classes: tuple[str, ...]
    preprocess: Preprocess
    normalization: Normalization
    variants: tuple[Variant, ...]
    cases: tuple[Case, ...]
    files: tuple[FileEntry, ...]
    provenance: dict[str, JSON]

    def __post_init__(self) -> None:
        good_version = self.format_version == FORMAT_VERSION
        _require(good_version, f"Manifest.format_version must be {FORMAT_VERSION}", self.format_version)
        _require_text("Manifest.name", self.name)
        _require_classes(self.classes, self.task)
        _require_count("Manifest.variants", self.variants, 1, MAX_VARIANTS)
        _require_count("Manifest.cases", self.cases, 2, MAX_CASES)
        _require_different("Manifest.variants", [variant.name for variant in self.variants])
        _require_different("Manifest.cases", [case.name for case in self.cases])
        _require_files(self.files)
        self._require_listed()
        check(self.provenance, "Manifest.provenance", BundleError)
        rejecting = [variant.name for variant in self.variants if variant.reject_below is not None]
        single = self.task == "single_label"
        _require(single or not rejecting, "Variant.reject_below is for single_label; variants", rejecting)

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Parse strictly: an unknown or missing key, a wrong type, an impossible value is a `BundleError`."""
        _require(len(text) <= MAX_MANIFEST_BYTES, "manifest.json must have at most 16 MiB", len(text))
        value = parse(text, "manifest", BundleError)
        _refuse_newer(value)
        return _manifest(_fields(cls, "manifest", value))

    def to_json(self) -> str:
        """Return the canonical text: equal manifests give the same bytes."""
        return canonical(asdict(self) | {"preprocess": self.preprocess.to_steps()})

    @property
    def hash(self) -> str:
        """SHA-256 of `to_json()`: the bundle's id, since the manifest holds the hash of every file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def variant(self, name: str) -> Variant:
        """Return the variant of this name.

        Raises:
            BundleError: the bundle has no such variant.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(repr(variant.name) for variant in self.variants)
        raise BundleError(f"The bundle has no variant {name!r}; it has {known}.")

    def size_bytes(self, variant: Variant) -> int:
        """Return the size of a variant's files."""
        sizes = {entry.path: entry.bytes for entry in self.files}
        return sum(sizes[path] for path in variant.files)

    def _require_listed(self) -> None:
        named = [path for case in self.cases for path in (case.picture, case.pixels)]
        named += [path for variant in self.variants for path in (*variant.files, variant.logits)]
        missing = sorted(set(named) - {entry.path for entry in self.files})
        _require(not missing, "Manifest.files must list every file that the manifest names; missing", missing)


def _refuse_newer(value: JSON) -> None:
    version = value.get("format_version") if isinstance(value, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise BundleError(
            f"The bundle has format version {version}, made by a newer edgetl; this one reads up to "
            f"{FORMAT_VERSION}. Run: pip install --upgrade edgetl-runtime"
        )


def _fields(cls: type, where: str, value: JSON) -> Fields:
    return Fields(value, where, [field.name for field in fields(cls)], BundleError)


def _manifest(f: Fields) -> Manifest:
    return Manifest(
        format_version=f.integer("format_version"),
        name=f.text("name"),
        task=f.choice("task", get_args(Task)),
        classes=f.texts("classes"),
        preprocess=Preprocess.from_steps(f.list("preprocess")),
        normalization=_normalization(
            _fields(Normalization, "manifest.normalization", f.value("normalization"))
        ),
        variants=tuple(_variant(_fields(Variant, *item)) for item in f.items("variants")),
        cases=tuple(_case(_fields(Case, *item)) for item in f.items("cases")),
        files=tuple(_file(_fields(FileEntry, *item)) for item in f.items("files")),
        provenance=f.object("provenance"),
    )


def _variant(f: Fields) -> Variant:
    return Variant(
        name=f.text("name"),
        engine=f.choice("engine", get_args(EngineName)),
        precision=f.choice("precision", get_args(Precision)),
        execution=f.choice("execution", get_args(Execution)),
        model=f.text("model"),
        files=f.texts("files"),
        head=f.choice("head", get_args(Head)),
        temperature=f.number("temperature"),
        tolerance=f.number("tolerance"),
        contract=f.object("contract"),
        reject_below=f.optional_number("reject_below"),
        batch=f.optional_integer("batch"),
        device=f.optional_text("device"),
        core=read_core(f"{f.where}.core", f.value("core")),
    )


def _case(f: Fields) -> Case:
    return Case(name=f.text("name"), picture=f.text("picture"), pixels=f.text("pixels"))


def _file(f: Fields) -> FileEntry:
    return FileEntry(path=f.text("path"), sha256=f.text("sha256"), bytes=f.integer("bytes"))


def _normalization(f: Fields) -> Normalization:
    return Normalization(mean=f.numbers("mean"), std=f.numbers("std"))


def _require(good: object, rule: str, got: Any) -> None:
    if not good:
        raise BundleError(f"{rule}, got {brief(got)}.")


def _require_positive(what: str, number: float, most: float) -> None:
    good = isinstance(number, (int, float)) and 0 < number <= most
    _require(good, f"{what} must be a number above 0, at most {most:g}", number)


def _require_name(what: str, name: str) -> None:
    good = len(name) <= 100 and _NAME.fullmatch(name)
    _require(good, f"{what} must be 1 to 100 of a-z, 0-9 and '._-', neither end being '._-'", name)


def _require_text(what: str, text: str) -> None:
    good = text.strip() and len(text) <= MAX_TEXT and not _CONTROL.search(text)
    _require(good, f"{what} must be 1 to {MAX_TEXT} characters, none of them a control character", text)


def _require_count(what: str, items: Sequence[object], least: int, most: int) -> None:
    _require(least <= len(items) <= most, f"{what} must have {least} to {most:,} entries", len(items))


def _require_different(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"{what} must differ from one another", name)
        seen.add(name)


def _require_classes(classes: tuple[str, ...], task: Task) -> None:
    _require_count("Manifest.classes", classes, 2 if task == "single_label" else 1, MAX_CLASSES)
    for number, name in enumerate(classes):
        _require_text(f"Manifest.classes[{number}]", name)
    _require_different("Manifest.classes", classes)


def _require_files(files: tuple[FileEntry, ...]) -> None:
    _require_count("Manifest.files", files, 1, MAX_FILES)
    # Some file systems know no case: two such names would be one file there.
    _require_different("Manifest.files", [entry.path.lower() for entry in files])
    folders = {str(parent) for entry in files for parent in PurePosixPath(entry.path.lower()).parents}
    both = [entry.path for entry in files if entry.path.lower() in folders]
    _require(not both, "Manifest.files must not use a file as a folder", both)
    total = sum(entry.bytes for entry in files)
    _require(total <= MAX_BUNDLE_BYTES, "Manifest.files must have at most 4 GiB together", total)
