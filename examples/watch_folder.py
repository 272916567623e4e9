"""Label what appears in a folder, with a log in SQLite. Run with: python watch_folder.py BUNDLE FOLDER LOG

Standard library and edgetl-runtime. A picture is logged once, by the SHA-256 of its bytes; after a restart
the work goes on where it was. Pictures that cannot be used are logged with the reason.
"""

import hashlib
import sqlite3
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

from edgetl_runtime import PictureError, Session

# What each file was at the last sweep, its size and the time of its last change, and whether it was logged.
Seen = dict[Path, tuple[tuple[int, int], bool]]

TABLE = """
create table if not exists predictions (
    sha256 text primary key, name text not null, seen text not null default current_timestamp,
    label text, confidence real, milliseconds real, error text, bundle text not null
)"""


def open_log(path: Path) -> sqlite3.Connection:
    """Open the log; whoever reads it meanwhile is not kept waiting."""
    log = sqlite3.connect(path, isolation_level=None)
    log.execute("pragma journal_mode=wal")
    log.execute(TABLE)
    return log


def sweep(session: Session, folder: Path, log: sqlite3.Connection, seen: Seen) -> int:
    """Log the new pictures of a folder and return how many there were.

    A file that still grows is left for the next sweep; one that vanished is forgotten.
    """
    count = 0
    found = _files(folder)
    for path in seen.keys() - found.keys():
        del seen[path]
    for path, state in sorted(found.items()):
        known, logged = seen.get(path, (None, False))
        if known == state and not logged:
            with suppress(OSError):  # It vanished just now, or will be there at the next sweep.
                count += _log_one(session, path, log)
                logged = True
        seen[path] = state, logged and known == state
    return count


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return size and time of the last change of each file."""
    found = {}
    for path in folder.iterdir():
        with suppress(OSError):  # It vanished just now.
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found[path] = status.st_size, status.st_mtime_ns
    return found


def _log_one(session: Session, path: Path, log: sqlite3.Connection) -> int:
    session = session.current  # Of a folder of slots, the bundle that is logged is the one that answered.
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if log.execute("select 1 from predictions where sha256 = ?", [sha256]).fetchone():
        return 0
    started = time.perf_counter()
    try:
        found = session.predict(data)
        row = (found.label, found.confidence, 1000 * (time.perf_counter() - started), None)
    except PictureError as error:
        row = (None, None, None, error.reason)
    columns = "sha256, name, label, confidence, milliseconds, error, bundle"
    values = (sha256, path.name, *row, session.bundle.id)
    log.execute(f"insert into predictions ({columns}) values (?, ?, ?, ?, ?, ?, ?)", values)
    return 1


def watch(bundle: Path, folder: Path, log: Path, *, every_s: float = 1.0) -> None:
    """Sweep until interrupted."""
    seen: Seen = {}
    with Session.open(bundle) as session:
        opened = open_log(log)
        while True:
            sweep(session, folder, opened, seen)
            time.sleep(every_s)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
