"""A bundle on disk: a folder or a zip, whose every file is held against the manifest before any is used.

Knows nothing about engines. A bundle is untrusted input: what it claims is checked before it is believed. Its
files are not locked: whoever may write into the folder may change them after they were checked.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from edgetl_runtime.contents import differences, refuse
from edgetl_runtime.errors import BundleError
from edgetl_runtime.manifest import MANIFEST_NAME, MAX_FILES, MAX_MANIFEST_BYTES, FileEntry, Manifest
from edgetl_runtime.signature import PublicKey, read_signature
from edgetl_runtime.signature import verify as verify_signature
from edgetl_runtime.slots import Slot, is_slots, read_pointer
from edgetl_runtime.unpack import unpack


class Bundle:
    """An opened bundle, to be closed or used in `with`: a zip lies unpacked in a private folder until then.

    root: the folder of its files. manifest: what they are. signer: the trusted key that signed it, None where
    none was asked for.
    """

    def __init__(self, root: Path, manifest: Manifest, *, temporary: bool = False) -> None:
        """Hold files that were checked already; `Bundle.open` checks them."""
        self.root = root
        self.manifest = manifest
        self.id = manifest.hash
        self.signer: PublicKey | None = None
        self._names = {entry.path for entry in manifest.files}
        self._discard: Callable[[], object] = lambda: None
        if temporary:
            self._discard = weakref.finalize(self, _remove, root, os.getpid())

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        verify: bool = True,
        trust: Sequence[PublicKey] | None = None,
    ) -> "Bundle":
        """Open a folder or a zip, or of a folder of slots the bundle in use; see `installation`.

        Args:
            verify: False leaves out the hashes, where this process has verified them already; names, kinds
                and sizes are checked in any case.
            trust: public keys of which one must have signed the bundle; None asks for no signature. It
                vouches for the files only together with their hashes.

        Raises:
            SignatureError: the bundle is not signed by a key of `trust`.
            BundleError: not a bundle, damaged, hostile or of a newer version; names what is wrong.
        """
        path = Path(path)
        with _readable(path):
            opened = cls._open(path, verify)
        return opened._trusted(trust)

    @classmethod
    def open_slot(cls, folder: Path, slot: Slot, *, trust: Sequence[PublicKey] | None = None) -> "Bundle":
        """Open what a slot of a folder should hold, whichever slot is in use; see `open` for the rest."""
        with _readable(folder / slot.name):
            opened = cls._open_slot(folder, slot, True)
        return opened._trusted(trust)

    @classmethod
    def _open(cls, path: Path, verify: bool) -> "Bundle":
        if path.is_dir() and is_slots(path):
            return cls._open_slots(path, verify)
        if path.is_dir():
            root = path.resolve()
            return cls(root, _check_folder(root, str(path), verify))
        if path.is_file():
            return cls._open_zip(path, verify)
        raise BundleError(f"There is no bundle at {str(path)!r}; it must be a folder or a zip.")

    @classmethod
    def _open_slots(cls, path: Path, verify: bool) -> "Bundle":
        pointer = read_pointer(path)
        try:
            return cls._open_slot(path, pointer.current, verify)
        except (BundleError, OSError):
            # Since the pointer was read, two installations may have put another bundle into this very slot.
            if read_pointer(path) != pointer:
                return cls._open_slots(path, verify)
            raise

    @classmethod
    def _open_slot(cls, path: Path, slot: Slot, verify: bool) -> "Bundle":
        root = (path / slot.name).resolve()
        manifest = _check_folder(root, str(path / slot.name), verify)
        if manifest.hash != slot.id:
            raise BundleError(f"{str(root)!r} holds another bundle than was installed. Install it again.")
        return cls(root, manifest)

    @classmethod
    def _open_zip(cls, path: Path, verify: bool) -> "Bundle":
        root = Path(tempfile.mkdtemp(prefix="edgetl-bundle-"))
        try:
            unpack(path, root)
            return cls(root, _check_folder(root, str(path), verify), temporary=True)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise

    def _trusted(self, trust: Sequence[PublicKey] | None) -> "Bundle":
        """Return this bundle, signed by one of these keys if any are given; else close it."""
        if trust is not None:
            try:
                self.require_signature(trust)
            except BaseException:
                self.close()
                raise
        return self

    def require_signature(self, trust: Sequence[PublicKey]) -> None:
        """Find the signer among these keys.

        Raises:
            SignatureError: none of them signed the bundle.
        """
        self.signer = verify_signature(self.manifest, read_signature(self.root), trust)

    def path(self, name: str) -> Path:
        """Return where a file of the manifest lies.

        Raises:
            BundleError: the manifest lists no such file.
        """
        if name not in self._names:
            raise BundleError(f"The bundle has no file {name!r}.")
        return self.root / name

    def verify(self, names: Collection[str]) -> None:
        """Hold files against the manifest once more, such as before they are read by another process.

        Raises:
            BundleError: one was changed or removed since the bundle was opened.
        """
        entries = [entry for entry in self.manifest.files if entry.path in names]
        with _readable(self.root):
            refuse(str(self.root), _changed(self.root, entries))

    def close(self) -> None:
        """Remove what was unpacked; a folder stays as it is."""
        self._discard()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"The bundle {str(path)!r} cannot be read: {error}.") from error


def _remove(root: Path, process: int) -> None:
    """Remove what this process unpacked; one that was forked from it only inherited it."""
    if os.getpid() == process:
        shutil.rmtree(root, ignore_errors=True)


def _check_folder(root: Path, name: str, verify: bool) -> Manifest:
    """Hold every file under `root` against the manifest; `name` is what messages call the bundle."""
    try:
        manifest = Manifest.from_json(_read_manifest(root / MANIFEST_NAME, name))
    except BundleError as error:
        raise BundleError(f"{name!r} cannot be opened: {error}") from error
    found = dict(_walk(root, name))
    odd = [path for path, status in found.items() if not _is_regular(status)]
    refuse(name, [f"{path!r} is not a regular file" for path in odd])
    refuse(name, differences(manifest, {path: status.st_size for path, status in found.items()}))
    if verify:
        refuse(name, _changed(root, manifest.files))
    return manifest


def _changed(root: Path, entries: Iterable[FileEntry]) -> list[str]:
    changed = [entry.path for entry in entries if _sha256(root / entry.path) != entry.sha256]
    return [f"{path!r} was changed: its SHA-256 is not the manifest's" for path in changed]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_regular(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def _read_manifest(path: Path, name: str) -> str:
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise BundleError(f"{name!r} is not a bundle: it has no {MANIFEST_NAME!r} at its top.") from None
    if not _is_regular(status) or status.st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{name!r}: {MANIFEST_NAME!r} must be a regular file of at most 16 MiB.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{name!r}: {MANIFEST_NAME!r} must be UTF-8: {error}.") from None


def _walk(root: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file, link or device under `root`, following no link."""
    folders, seen = [""], 0
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                seen += 1
                if seen > 2 * MAX_FILES:
                    raise BundleError(f"{name!r} is not a bundle: it holds more than {2 * MAX_FILES} files.")
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    yield path, entry.stat(follow_symlinks=False)
