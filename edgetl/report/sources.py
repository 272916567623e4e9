"""What a report is made of: at most one run and one bundle, and any receipts, known by their content."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import InputError
from edgetl_runtime.manifest import MANIFEST_NAME, Manifest
from edgetl_runtime.receipt import Receipt

if TYPE_CHECKING:
    from edgetl.run import Run

_RUN_FACTS = "run.json"  # of `edgetl.run`, which loads torch


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A receipt and the short name that it bears in the report; all names are different."""

    name: str
    receipt: Receipt


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """The things that a report shows. The first receipt is the baseline of the others."""

    run: Run | None = None
    run_folder: Path | None = None
    manifest: Manifest | None = None
    bundle: Path | None = None
    receipts: tuple[Measured, ...] = ()

    @property
    def title(self) -> str:
        """The name of what is reported."""
        names = [self.manifest.name] if self.manifest else []
        names += [one.receipt.bundle.name for one in self.receipts[:1]]
        names += [self.run.name] if self.run else []
        return names[0]


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read runs, bundles and receipts in any order; each is verified as its own reader does.

    Raises:
        InputError: a path is none of them, or there are two runs or two bundles.
    """
    kinds: dict[str, list[Path]] = {"run": [], "bundle": [], "receipt": []}
    for path in paths:
        kinds[_kind(path)].append(path)
    for kind in ("run", "bundle"):
        if len(kinds[kind]) > 1:
            given = ", ".join(map(str, kinds[kind]))
            raise InputError(f"A report shows one {kind}, got {len(kinds[kind])}: {given}. Make two reports.")
    if not paths:
        raise InputError("A report needs a run, a bundle or a receipt. Give the path of at least one.")
    run_folder, bundle = (next(iter(kinds[kind]), None) for kind in ("run", "bundle"))
    return Sources(
        run=_read_run(run_folder) if run_folder else None,
        run_folder=run_folder,
        manifest=_read_manifest(bundle) if bundle else None,
        bundle=bundle,
        receipts=_named(kinds["receipt"], [Receipt.read(path) for path in kinds["receipt"]]),
    )


def _kind(path: Path) -> str:
    """Tell what lies at a path by what is in it."""
    if path.is_dir():
        if (path / _RUN_FACTS).is_file():
            return "run"
        if (path / MANIFEST_NAME).is_file():
            return "bundle"
        raise InputError(
            f"The folder {str(path)!r} is neither a run ({_RUN_FACTS}) nor a bundle ({MANIFEST_NAME}). "
            "Receipts are given one by one: edgetl report RUN BUNDLE receipts/*.json"
        )
    if not path.is_file():
        raise InputError(f"There is nothing at {str(path)!r}. Give a run, a bundle or a receipt.")
    return "bundle" if zipfile.is_zipfile(path) else "receipt"


def _read_run(folder: Path) -> Run:
    from edgetl.run import read_run  # Loads torch, which a report of receipts does without.

    return read_run(folder)


def _read_manifest(bundle: Path) -> Manifest:
    with Bundle.open(bundle) as opened:
        return opened.manifest


def _named(paths: Sequence[Path], receipts: Sequence[Receipt]) -> tuple[Measured, ...]:
    """Call receipts by variant; where that is not enough by device too, then by file, then by number."""
    names = [receipt.variant for receipt in receipts]
    devices = [f" on {receipt.device}" for receipt in receipts]
    files = [f" ({path.stem})" for path in paths]
    for more in (devices, files, [f" #{place}" for place in range(1, len(names) + 1)]):
        count = Counter(names)
        names = [name + one if count[name] > 1 else name for name, one in zip(names, more, strict=True)]
    return tuple(map(Measured, names, receipts))
