"""Two processes on one study in a real PostgreSQL, which these tests start and stop.

Needs Debian's package postgresql: `make test-system` installs it.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from edgetl_factories import colour_folder
from search_factories import command, complete, tiny_asked, trials
from started import start

from edgetl.dataset import Dataset, load_dataset
from edgetl.search.asked import Asked

pytestmark = pytest.mark.system

ACCOUNT = "postgres"  # The server refuses to run as root; Debian's package makes this account.
TRIALS = 4


def server_program(name: str) -> str:
    """Return a program of the server, which Debian keeps out of the path, beside pg_config."""
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    if shutil.which("psql") is None or not any(found):
        pytest.skip("PostgreSQL is not installed. Run: make test-system")
    return next(filter(None, reversed(found)))


def as_account(*words: object) -> None:
    """Run a program of the server, as an account that is not root's."""
    account = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"]
    prefix = account if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *map(str, words)], cwd="/", check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def url() -> Iterator[str]:
    """A server of this machine's own, on a free port of the loopback, and the address of its database."""
    pytest.importorskip("pg8000", reason="pg8000 is not installed (extra postgresql)")
    initdb, control = server_program("initdb"), server_program("pg_ctl")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="edgetl-pg-"))  # A socket's path must be short.
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
    data, options = folder / "data", f"-h 127.0.0.1 -p {port} -k {folder} -F"
    try:
        as_account(initdb, "-D", data, "-U", "edgetl", "--auth=trust", "--encoding=UTF8", "--no-sync")
        as_account(control, "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        yield f"postgresql+pg8000://edgetl@127.0.0.1:{port}/postgres"
        as_account(control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(colour_folder(tmp_path / "colours", strength=30))


@pytest.fixture
def asked(dataset: Dataset, url: str, tmp_path: Path) -> Asked:
    return replace(tiny_asked(dataset, tmp_path / "tiny"), trials=TRIALS, storage=url)


def test_two_processes_share_a_study_in_postgresql(dataset: Dataset, asked: Asked, tmp_path: Path) -> None:
    """As two machines do: each has a folder of its own, and they begin with an empty database at once."""
    folders = [tmp_path / name for name in ("one", "other")]
    processes = [start(command(dataset, asked, folder)) for folder in folders]
    said = [process.communicate(timeout=900)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    found = trials(dataset, asked)
    done = complete(found)
    assert Counter(one.state for one in found) - Counter(surplus=TRIALS) == {"complete": TRIALS}
    assert len({one.configuration for one in done}) == TRIALS  # None was done twice.
    assert len({one.facts["process"]["pid"] for one in done}) == 2
    for one in done:
        (home,) = (folder for folder in folders if (folder / f"trial-{one.number}").is_dir())
        assert one.facts["folder"] == str(home / f"trial-{one.number}")
        assert (home / f"trial-{one.number}" / "run" / "run.json").is_file()
