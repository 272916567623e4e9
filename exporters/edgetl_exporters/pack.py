"""Writes a bundle, opens it as a device would, and only then puts it in its place.

Knows nothing about how variants are made: files go in, by their path in the bundle, with what the manifest
says of them.
"""

import hashlib
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetl_exporters.model import Floats, Model, Provenance
from edgetl_exporters.reference import ReferenceCase, encode_logits
from edgetl_exporters.sbom import sbom
from edgetl_runtime.atomic import refuse_place, replacing_file, replacing_folder
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.cautions import Caution
from edgetl_runtime.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    FileEntry,
    Manifest,
    Normalization,
    Variant,
)
from edgetl_runtime.session import Session
from edgetl_runtime.signature import sign

_LABELS, _SBOM = "labels.txt", "sbom.cdx.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # The earliest date that a zip knows: equal bundles give equal bytes.


@dataclass(frozen=True, slots=True, eq=False)
class PackedVariant:
    """A variant with its files: where they lie now, by their path in the bundle; and its reference logits."""

    variant: Variant
    sources: Mapping[str, Path]
    logits: Floats


def pack(
    model: Model,
    variants: Sequence[PackedVariant],
    cases: Sequence[ReferenceCase],
    out: Path,
    provenance: Provenance,
    *,
    key: Path | None = None,
) -> Manifest:
    """Write a bundle: a folder, or a zip where `out` ends in .zip.

    Args:
        key: a PEM file with an Ed25519 private key, to sign the bundle; None leaves it unsigned.

    Raises:
        ProofError: a variant disagrees with its own references; nothing is left behind.
        InputError: `out` exists, or cannot be written.
    """
    files = _files(model, variants, cases)
    files[_SBOM] = sbom(model.name, provenance)
    entries = tuple(FileEntry(path, _sha256(data), len(data)) for path, data in sorted(files.items()))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=model.name,
        task=model.task,
        classes=model.classes,
        preprocess=model.preprocess,
        normalization=Normalization(tuple(model.mean), tuple(model.std)),
        variants=tuple(packed.variant for packed in variants),
        cases=tuple(case.case for case in cases),
        files=entries,
        provenance=dict(provenance),
    )
    files[MANIFEST_NAME] = manifest.to_json().encode()
    if key is not None:
        files[SIGNATURE_NAME] = sign(manifest, key).to_json().encode()
    write = _write_zip if out.suffix == ".zip" else _write_folder
    write(out, files, lambda path: _prove(path, manifest))
    return manifest


def _write_folder(out: Path, files: Mapping[str, bytes], prove: Callable[[Path], None]) -> None:
    with replacing_folder(out) as folder:
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        prove(folder)


def _write_zip(out: Path, files: Mapping[str, bytes], prove: Callable[[Path], None]) -> None:
    refuse_place(out)
    with replacing_file(out) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            for path, data in sorted(files.items()):
                opened.writestr(zipfile.ZipInfo(path, _EPOCH), data, zipfile.ZIP_DEFLATED)
        prove(file)


def _prove(path: Path, manifest: Manifest) -> None:
    """Open every variant as a device does: hashes, graph, preprocessing and answers are checked.

    What is for firmware opens nowhere here: its files are checked, and its answers were measured before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Caution)  # Its maker said which processors it is for.
        Bundle.open(path).close()
        for variant in manifest.variants:
            if variant.core is not None:
                continue
            Session.open(path, variant=variant.name, device=variant.device or "cpu", cache=False).close()


def _files(
    model: Model, variants: Sequence[PackedVariant], cases: Sequence[ReferenceCase]
) -> dict[str, bytes]:
    files = {_LABELS: "".join(f"{name}\n" for name in model.classes).encode()}
    for case in cases:
        files |= case.files()
    for packed in variants:
        files |= {path: source.read_bytes() for path, source in packed.sources.items()}
        files[packed.variant.logits] = encode_logits(packed.logits)
    return files


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
