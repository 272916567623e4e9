"""A long validation's answers so far, a line for each picture, so that a killed one goes on where it stopped.

Lines are only ever added; one that was cut off by the kill is cut away. Knows JSON and files, and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from edgetl_runtime.errors import InputError
from edgetl_runtime.strict_json import JSON

STAGES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """What one picture gave, or why it cannot be used.

    predicted: the number of the class, or of several labels any number of them. confidence: the highest
    probability. untempered: the same without the temperature. shares: all probabilities, () where they are
    too many to keep. times_ms: of each stage.
    """

    predicted: tuple[int, ...] = ()
    confidence: float = 0.0
    untempered: float = 0.0
    shares: tuple[float, ...] = ()
    times_ms: tuple[float, ...] = ()
    unreadable: str = ""


class Journal:
    """The entries of earlier runs, by the SHA-256 of the pictures, and a file that further ones are added to.

    path: None keeps nothing.
    """

    def __init__(self, path: Path | None, subject: Mapping[str, JSON], *, resume: bool) -> None:
        """Begin a journal on a subject: whatever the answers depend on, besides the picture.

        Args:
            resume: go on with the file where there is one; else begin anew.

        Raises:
            InputError: the file is of another subject, or cannot be written.
        """
        self.path = path
        self.entries: dict[str, Entry] = {}
        self._file: IO[bytes] | None = None
        if path is None:
            return
        whole = _read(path, subject, self.entries) if resume and path.exists() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if whole else "wb")
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}). Write elsewhere.") from error
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write({"subject": dict(subject)})

    def add(self, sha256: str, entry: Entry) -> None:
        """Add to the file what a picture gave."""
        row: dict[str, JSON] = {"sha256": sha256}
        if entry.unreadable:
            row["unreadable"] = entry.unreadable
        else:
            row |= {"predicted": list(entry.predicted)}
            row |= {"confidence": entry.confidence, "untempered": entry.untempered}
            row |= {"shares": list(entry.shares), "ms": list(entry.times_ms)}
        self._write(row)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, row: dict[str, JSON]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n")
            self._file.flush()


def journal_of(out: Path) -> Path:
    """Return where the journal of a receipt lies: beside it."""
    return out.with_name(f".{out.name}.journal")


def _read(path: Path, subject: Mapping[str, JSON], entries: dict[str, Entry]) -> int:
    """Read the whole lines and return how many bytes they take."""
    whole = 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            row = _row(line)
            if row is None:
                break
            if number == 0:
                _refuse_other_subject(path, row.get("subject"), subject)
            else:
                entry = _entry(row)
                if entry is None:
                    break
                entries[str(row["sha256"])] = entry
            whole += len(line)
    return whole


def _row(line: bytes) -> dict[str, JSON] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:  # also bytes that are no text
        return None
    return row if isinstance(row, dict) else None


def _entry(row: dict[str, JSON]) -> Entry | None:
    match row:
        case {"sha256": str(), "unreadable": str() as reason}:
            return Entry(unreadable=reason)
        case {
            "sha256": str(),
            "predicted": list() as predicted,
            "shares": list() as shares,
            "ms": list() as ms,
        }:
            found = [one for one in predicted if isinstance(one, int)]
            sure = [row.get("confidence"), row.get("untempered")]
            numbers = [float(one) for one in (*sure, *ms, *shares) if isinstance(one, (int, float))]
            if len(ms) == STAGES and len(found) + len(numbers) == len(predicted) + 2 + STAGES + len(shares):
                confidence, untempered, *rest = numbers
                return Entry(tuple(found), confidence, untempered, tuple(rest[STAGES:]), tuple(rest[:STAGES]))
    return None


def _refuse_other_subject(path: Path, found: JSON, subject: Mapping[str, JSON]) -> None:
    known = found if isinstance(found, dict) else {}
    differ = [key for key in subject if known.get(key) != subject[key]]
    if differ:
        raise InputError(
            f"{path} was begun with another {', '.join(differ)}: it cannot be gone on with. "
            "Leave out --resume to begin anew."
        )
