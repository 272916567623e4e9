"""Label what appears in a folder, with a log in SQLite. Run with: python watch_folder.py BUNDLE FOLDER LOG

Standard library and edgetl-runtime. A picture is logged once, by the SHA-256 of its bytes; after a restart
the work goes on where it was. Pictures that cannot be used are logged with the reason.
"""

import hashlib
import sqlite3
import sys
import time
from pathlib import Path

from edgetl_runtime import PictureError, Session

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


def sweep(session: Session, folder: Path, log: sqlite3.Connection, sizes: dict[Path, int]) -> int:
    """Log the new pictures of a folder and return how many there were.

    A file that still grows is left for the next sweep: `sizes` remembers what each had at the last one.
    """
    count = 0
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        if sizes.get(path) == size:
            count += _log_one(session, path, log)
            sizes[path] = -1  # done
        elif sizes.get(path) != -1:
            sizes[path] = size
    return count


def _log_one(session: Session, path: Path, log: sqlite3.Connection) -> int:
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
    sizes: dict[Path, int] = {}
    with Session.open(bundle) as session:
        opened = open_log(log)
        while True:
            sweep(session, folder, opened, sizes)
            time.sleep(every_s)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
