"""Puts bundles into a folder of two slots, so that one working bundle is there whenever the power goes.

A new bundle goes into the slot that is not in use, is verified and proven there, and only then the pointer is
switched. Nothing here touches the slot in use. What a bundle's proof is, the caller may say.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgetl_runtime.atomic import replacing_folder
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import EdgetlError, InputError
from edgetl_runtime.manifest import UNLISTED
from edgetl_runtime.signature import PublicKey
from edgetl_runtime.slots import (
    POINTER_NAME,
    SLOT_NAMES,
    Pointer,
    Slot,
    SlotName,
    find_pointer,
    is_slots,
    read_pointer,
    write_pointer,
)

__all__ = ["Prove", "install", "prove_here", "rollback"]

LOCK_NAME = ".lock"
_LOG = logging.getLogger(__name__)

Prove = Callable[[Bundle], object]
"""Raises an `EdgetlError` where a bundle must not be used on this device."""

_OWN = re.compile(r"a|b|slots\.json|\.lock|\.(a|b|slots\.json)\.[0-9a-f]{12}")
_LEFT_OVER = re.compile(r"\.(a|b|slots\.json)\.[0-9a-f]{12}")


def prove_here(bundle: Bundle) -> None:
    """Open the bundle's first usable variant on this machine's CPU, and let it prove itself."""
    from edgetl_runtime.session import Session

    Session.open(bundle, prove="anew").close()


def install(
    bundle: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    trust: Sequence[PublicKey] | None = None,
    prove: Prove = prove_here,
) -> Pointer:
    """Install a bundle beside the one in use, and switch to it once it has proven itself.

    Interrupted at any point, one working bundle is in use: the old one before the switch, then the new one.
    The bundle before the one in use is given up once the new one was found sound where it came from.

    Args:
        into: the folder of slots; made where it is missing.
        trust: public keys of which one must have signed the bundle; None asks for no signature.
        prove: is called with the bundle where it lies, and again in its slot.

    Returns:
        which slot is in use now; unchanged where it holds the same bundle already, undamaged.

    Raises:
        BundleError: the bundle is not sound, or `into` holds something else.
        ProofError: it does not prove itself here; the old one stays in use.
        InputError: the disk is full, or another installation is at work.
    """
    folder = Path(into)
    with Bundle.open(bundle, trust=trust) as source, _locked(folder):
        before = find_pointer(folder) or _mended(folder)
        if before is not None and _whole(folder, before.current.name) == Slot(before.current.name, source.id):
            return before
        prove(source)
        before = _usable(folder, before, prove)
        slot = Slot(before.spare if before else "a", source.id)
        _clear(folder, before, slot)
        _fill(folder / slot.name, source)
        try:
            _check(folder, slot, trust, prove)
        except BaseException:
            shutil.rmtree(folder / slot.name, ignore_errors=True)
            raise
        return _switch(folder, Pointer(slot, before.current if before else None))


def rollback(
    into: str | os.PathLike[str],
    *,
    trust: Sequence[PublicKey] | None = None,
    prove: Prove = prove_here,
) -> Pointer:
    """Go back to the bundle before, once it was verified and proven again. A second time undoes the first.

    Raises:
        InputError: there is no bundle before.
        BundleError, ProofError: it is damaged or does not prove itself here; the one in use stays.
    """
    folder = Path(into)
    if not is_slots(folder):
        raise InputError(f"{str(folder)!r} is not a folder of slots: it has no {POINTER_NAME}. {_HOW}")
    with _locked(folder):
        now = read_pointer(folder)
        if now.previous is None:
            raise InputError(f"{str(folder)!r} holds one bundle only; there is none to go back to.")
        _check(folder, now.previous, trust, prove)
        return _switch(folder, Pointer(now.previous, now.current))


_HOW = "Make one: edgetl-runtime install BUNDLE --into DIR"


def _mended(folder: Path) -> Pointer | None:
    """Let a damaged `slots.json` name what is whole: the bundle installed last, and the other to go back to.

    Which of them was in use cannot be known any more. None where there is neither pointer nor whole bundle.
    """
    if not is_slots(folder):
        return None
    found = [slot for name in SLOT_NAMES if (slot := _whole(folder, name)) is not None]
    if not found:
        return None
    current, *others = sorted(found, key=lambda slot: -(folder / slot.name).stat().st_mtime_ns)
    _LOG.warning(
        "%s was damaged; slot %r, the newest, counts as in use.", folder / POINTER_NAME, current.name
    )
    return _switch(folder, Pointer(current, others[0] if others else None))


def _usable(folder: Path, before: Pointer | None, prove: Prove) -> Pointer | None:
    """Go back before the installation where only the bundle before can be used: it would be given up else."""
    if before is None or before.previous is None or _holds(folder, before.current, prove):
        return before
    if not _holds(folder, before.previous, prove):
        return before
    _LOG.warning("%s goes back to slot %r, since the other cannot be used.", folder, before.previous.name)
    return _switch(folder, Pointer(before.previous, None))


def _holds(folder: Path, slot: Slot, prove: Prove) -> bool:
    try:
        _check(folder, slot, None, prove)
    except EdgetlError:  # Why is of no account: another one is being installed.
        return False
    return True


def _switch(folder: Path, pointer: Pointer) -> Pointer:
    write_pointer(folder, pointer)
    return pointer


def _clear(folder: Path, before: Pointer | None, slot: Slot) -> None:
    """Empty a slot, after the pointer says that there is nothing in it to go back to."""
    if before is not None and before.previous is not None:
        write_pointer(folder, Pointer(before.current, None))
    for left in folder.iterdir():
        if left.name == slot.name or _LEFT_OVER.fullmatch(left.name):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _fill(slot: Path, source: Bundle) -> None:
    names = [entry.path for entry in source.manifest.files]
    names += [name for name in UNLISTED if (source.root / name).is_file()]
    with replacing_folder(slot) as aside:
        for name in names:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.root / name, aside / name)


def _check(folder: Path, slot: Slot, trust: Sequence[PublicKey] | None, prove: Prove) -> None:
    with Bundle.open_slot(folder, slot, trust=trust) as bundle:
        prove(bundle)


def _whole(folder: Path, name: SlotName) -> Slot | None:
    """Return what a slot holds where every byte of it is as it should be."""
    try:
        with Bundle.open(folder / name) as bundle:
            return Slot(name, bundle.id)
    except EdgetlError:  # Damaged, so that it is installed again; that is what the caller was asked for.
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other installers out until the end, or until this process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        odd = sorted(path.name for path in folder.iterdir() if not _OWN.fullmatch(path.name))
        if odd:
            raise InputError(
                f"{str(folder)!r} holds {odd[0]!r}, so it is no folder of slots. Name an empty or new folder."
            )
        with (folder / LOCK_NAME).open("ab") as file:
            if not _lock(file.fileno()):
                raise InputError(f"Another installation is at work in {str(folder)!r}. Try again after it.")
            yield
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be installed into: {error}.") from error


if sys.platform == "win32":

    def _lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:  # Another process holds it.
            return False
        return True

else:

    def _lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
