"""A whole bundle for the runtime's tests: the checked-in models, some pictures, references computed in NumPy.

Its classes are colours, so that predictions have a meaning. Knows numpy, PIL and edgetl_runtime only.
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from runtime_factories import write_picture

from edgetl_runtime.manifest import Case, EngineName, FileEntry, Manifest, Normalization, Variant
from edgetl_runtime.preprocess import Preprocess

DATA = Path(__file__).parent / "data"
CLASSES = ("red", "green", "blue")
PREPROCESS = Preprocess(32)
TEMPERATURE = 2.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXIF_ROTATED = 6

FILES: dict[EngineName, dict[str, str]] = {
    "onnxruntime": {"onnx/model.onnx": "tiny.onnx"},
    "openvino": {"openvino/model.xml": "tiny.xml", "openvino/model.bin": "tiny.bin"},
}


def tiny_bundle(
    path: Path,
    *,
    pixels: Callable[[Path], NDArray[np.uint8]] = PREPROCESS,
    logits: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] | None = None,
    **changes: Any,
) -> Path:
    """Write a bundle folder with the variants onnx-fp32 and openvino-fp32, and four reference cases.

    Args:
        pixels: makes the reference pixels of an encoded picture.
        logits: by name of a variant, what to store in place of its true reference logits.
        changes: fields of the manifest.
    """
    manifest = tiny_manifest(**changes)
    for files in FILES.values():
        for name, source in files.items():
            _copy(DATA / source, path / name)
    _write_cases(path, manifest, pixels)
    stored = np.stack([np.asarray(Image.open(path / case.pixels)) for case in manifest.cases])
    for variant in manifest.variants:
        change = (logits or {}).get(variant.name, np.asarray)
        (path / variant.logits).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / variant.logits, change(tiny_logits(stored)))
    return write_manifest(path, manifest)


def tiny_manifest(**changes: Any) -> Manifest:
    """The manifest of `tiny_bundle`, its files listed with sizes and hashes that are not theirs."""
    names = ("jpeg", "png", "rotated", "large")
    cases = tuple(Case(name, f"cases/{name}.bin", f"reference/pixels/{name}.png") for name in names)
    variants = changes.pop("variants", (tiny_variant("onnxruntime"), tiny_variant("openvino")))
    paths = [path for case in cases for path in (case.picture, case.pixels)]
    paths += [path for variant in variants for path in (*variant.files, variant.logits)]
    manifest = Manifest(
        format_version=1,
        name="colours",
        task="single_label",
        classes=CLASSES,
        preprocess=PREPROCESS,
        normalization=Normalization(MEAN, STD),
        variants=variants,
        cases=cases,
        files=tuple(FileEntry(path, "0" * 64, 1) for path in dict.fromkeys(paths)),
        provenance={"made_by": "the tests"},
    )
    return replace(manifest, **changes)


def tiny_variant(engine: EngineName, **changes: Any) -> Variant:
    """A variant over the files of its engine."""
    files = tuple(FILES[engine])
    variant = Variant(
        name={"onnxruntime": "onnx-fp32", "openvino": "openvino-fp32"}[engine],
        engine=engine,
        precision="fp32",
        execution="f32",
        model=files[0],
        files=files,
        head="float",
        temperature=TEMPERATURE,
        tolerance=0.001,
        contract={"certified": True, "n": 4},
    )
    return replace(variant, **changes)


def tiny_logits(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What `data/make_tiny.py` builds, independent of any engine: (n, 32, 32, 3) uint8 → (n, 3) float32."""
    planes = (pixels / 255 - MEAN) / STD
    padded = np.pad(planes, ((0, 0), (1, 0), (1, 0), (0, 0)))
    above, left = padded[:, :-1, 1:].sum(axis=3), padded[:, 1:, :-1].sum(axis=3)
    places = np.linspace(0.8, 1.2, 32)
    features = []
    for colour in range(3):
        others = [other for other in range(3) if other != colour]
        for other in others:
            lead = planes[..., colour] - planes[..., other] + 0.05 * above - 0.05 * left
            features.append((np.maximum(lead, 0) * np.outer(places, places)).mean(axis=(1, 2)))
    weight = 2 * np.repeat(np.eye(3), 2, axis=1) - 0.5
    return (np.stack(features, axis=1) @ weight.T + [0.1, 0.0, -0.1]).astype(np.float32)


def write_colour(path: Path, colour: str, seed: int = 0, *, side: int = 40) -> Path:
    """Write a noisy picture that the tiny model takes for `colour`."""
    noise = np.random.default_rng(seed).integers(0, 60, (side, side, 3), dtype=np.uint8)
    noise[..., CLASSES.index(colour)] += 180
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)
    return path


def write_manifest(path: Path, manifest: Manifest) -> Path:
    """Write the manifest, with the files that truly lie in the folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "manifest.json")
    listed = tuple(_entry(file, file.relative_to(path).as_posix()) for file in files)
    (path / "manifest.json").write_text(replace(manifest, files=listed).to_json(), encoding="utf-8")
    return path


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the JSON of the manifest in place, whatever becomes of it."""
    value = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    change(value)
    (path / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    return path


def zip_folder(folder: Path, archive: Path) -> Path:
    """Zip the files of a folder."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                opened.write(file, file.relative_to(folder).as_posix())
    return archive


def _write_cases(path: Path, manifest: Manifest, pixels: Callable[[Path], NDArray[np.uint8]]) -> None:
    rotated = Image.Exif()
    rotated[0x0112] = EXIF_ROTATED
    looks: dict[str, dict[str, Any]] = {
        "jpeg": {"format": "JPEG", "quality": 90},
        "png": {"format": "PNG"},
        "rotated": {"format": "JPEG", "quality": 90, "exif": rotated},
        "large": {"format": "JPEG", "quality": 90, "width": 200, "height": 150},
    }
    for seed, case in enumerate(manifest.cases, start=1):
        write_picture(path / case.picture, seed, **looks[case.name])
        (path / case.pixels).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(path / case.picture)).save(path / case.pixels)


def _entry(file: Path, name: str) -> FileEntry:
    data = file.read_bytes()
    return FileEntry(name, hashlib.sha256(data).hexdigest(), len(data))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
