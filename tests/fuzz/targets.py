"""What is fuzzed: each target takes any bytes and ends in a value or in a typed error; all else is a bug."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from edgetl_runtime import Bundle, BundleError, PictureError, Preprocess, Receipt, ReceiptError
from edgetl_runtime.manifest import Manifest
from edgetl_runtime.signature import Signature

PREPROCESS = Preprocess(32)


def decoder(data: bytes) -> None:
    """Any bytes as a picture."""
    try:
        pixels = PREPROCESS(data)
    except PictureError:
        return
    assert pixels.shape == (32, 32, 3)


def manifest(data: bytes) -> None:
    """Any text as a manifest; one that is read comes back equal from its own text."""
    try:
        found = Manifest.from_json(data.decode(errors="replace"))
    except BundleError:
        return
    assert Manifest.from_json(found.to_json()) == found


def signature(data: bytes) -> None:
    """Any text as a signature."""
    try:
        found = Signature.from_json(data.decode(errors="replace"))
    except BundleError:
        return
    assert Signature.from_json(found.to_json()) == found


def receipt(data: bytes) -> None:
    """Any file as a receipt."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(data)
        file.flush()
        try:
            Receipt.read(file.name)
        except ReceiptError:
            return


def bundle(data: bytes) -> None:
    """Any file as a bundle."""
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        try:
            Bundle.open(file.name).close()
        except BundleError:
            return


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (decoder, manifest, signature, receipt, bundle)
}


def seeds(target: str) -> list[bytes]:
    """Return sound inputs to start from."""
    from receipt_factories import tiny_predictions, tiny_receipt
    from tiny_bundle import tiny_bundle, tiny_manifest, zip_folder
    from wild_corpus import wild_corpus

    if target == "decoder":
        return [
            data for name, data in wild_corpus() if name.endswith(("RGB-0", "P-0", "orientation-6", "frames"))
        ]
    if target == "bundle":
        with tempfile.TemporaryDirectory() as folder:
            return [zip_folder(tiny_bundle(Path(folder) / "bundle"), Path(folder) / "seed.zip").read_bytes()]
    texts = {
        "manifest": tiny_manifest().to_json(),
        "receipt": tiny_receipt(tiny_predictions([0, 1], [0, 1])).to_json(),
        "signature": Signature("ed25519", "ab" * 32, "cd" * 64).to_json(),
    }
    return [texts[target].encode()]


def write_seeds(target: str, corpus: Path) -> None:
    """Write the seeds where a fuzzer looks for them, unless there is a corpus already."""
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, data in enumerate(seeds(target)):
            (corpus / f"seed-{number}").write_bytes(data)
