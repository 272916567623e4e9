"""What this machine found out once and need not find out again: small JSON values in the user's cache folder.

A value is found under everything that it depends on; whatever changes, such as a driver, makes it unknown. It
is a cache and nothing more: what is damaged counts as unknown, and where nothing can be written all is found
out anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edgetl_runtime.atomic import write_text
from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import JSON, canonical, parse

MAX_BUNDLES = 8
MAX_BYTES = 2**20


def cache_folder() -> Path:
    """Return the folder of all caches: $EDGETL_CACHE, or `edgetl` in the user's cache folder."""
    if own := os.environ.get("EDGETL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetl"


class Memory:
    """What is remembered of one bundle on one machine, in a folder that may not exist yet.

    folder: None remembers nothing.
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, JSON] | None = None) -> None:
        self.folder = folder
        self._facts = dict(facts or {})

    @classmethod
    def of(cls, bundle: str, facts: Mapping[str, JSON]) -> Memory:
        """Remember in the cache folder what depends on a bundle, by its id, and on these facts."""
        return cls(cache_folder() / "bundles" / bundle, facts)

    def read(self, what: str, **facts: JSON) -> JSON:
        """Return what is known under this name and these facts; None where nothing is."""
        path = self._path(what, facts)
        if path is None:
            return None
        try:
            if path.stat().st_size > MAX_BYTES:
                return None
            return parse(path.read_text(encoding="utf-8"), str(path), InputError)
        except (OSError, UnicodeDecodeError, InputError):
            return None

    def write(self, what: str, value: JSON, **facts: JSON) -> None:
        """Remember a value; where the folder cannot be written it is found out anew the next time."""
        path = self._path(what, facts)
        if path is None or self.folder is None:
            return
        with suppress(OSError, InputError):
            _make_room(self.folder)
            write_text(path, canonical(value))

    def place(self, name: str) -> Path | None:
        """Return a folder for an engine to keep compiled graphs in; None where it cannot be made."""
        if self.folder is None:
            return None
        try:
            _make_room(self.folder)
            place = self.folder / name
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return place if os.access(place, os.W_OK) else None

    def _path(self, what: str, facts: Mapping[str, JSON]) -> Path | None:
        if self.folder is None:
            return None
        key = hashlib.sha256(canonical({**self._facts, **facts}).encode()).hexdigest()[:32]
        return self.folder / f"{what}-{key}.json"


def _make_room(folder: Path) -> None:
    """Forget the bundles of longest ago: updates in the field would fill the disk otherwise."""
    if folder.exists() or not folder.parent.is_dir():
        return
    known = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in known[MAX_BUNDLES - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
