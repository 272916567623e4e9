"""Run as a program by test_installation.py: kills an installer at every step that it takes on the disk.

    python killed_installs.py WORK OLD… NEW

Installs the bundles OLD in turn, then NEW in a child process that ends at its n-th touch of the folder, for
every n until one gets through. After each kill the folder is read as an app would, and mended as a user
would. Writes one JSON line a kill. It imports no engine, so that forking is safe: the proof here is the
hashes alone.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.installation import install, rollback
from edgetl_runtime.slots import is_slots, read_pointer

KILLED = 77
TOUCHES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "shutil.copyfile")


def by_hashes(bundle: Bundle) -> None:
    """Prove nothing more than opening did."""


def die_at(step: int, folder: Path) -> None:
    """End this process, without any clean-up, as it is about to touch `folder` for the `step`-th time."""
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event not in TOUCHES or not any(str(folder) in str(argument) for argument in arguments):
            return
        if left == 0:
            os._exit(KILLED)
        left -= 1

    sys.addaudithook(hook)


def kill_install(bundle: Path, folder: Path, step: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            die_at(step, folder)
            install(bundle, folder, prove=by_hashes)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def look(folder: Path) -> dict[str, object]:
    """Say which bundle an app finds now, then whether going back, and installing again, work."""
    if not is_slots(folder):
        return {"current": None, "back": None}
    with Bundle.open(folder) as bundle:
        found: dict[str, object] = {"current": bundle.id, "back": None}
    if read_pointer(folder).previous is not None:
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        rollback(copy, prove=by_hashes)
        with Bundle.open(copy) as bundle:
            found["back"] = bundle.id
        shutil.rmtree(copy)
    return found


def main(work: Path, old: list[Path], new: Path) -> None:
    step, code = 0, KILLED
    for bundle in old:
        install(bundle, work / "before", prove=by_hashes)
    while code == KILLED:
        folder = work / "slots"
        shutil.rmtree(folder, ignore_errors=True)
        if old:
            shutil.copytree(work / "before", folder)
        code = kill_install(new, folder, step)
        found = {"step": step, "code": code, **look(folder)}
        install(new, folder, prove=by_hashes)
        with Bundle.open(folder) as bundle:
            found["again"] = bundle.id
        found["left"] = sorted(path.name for path in folder.iterdir())
        sys.stdout.write(f"{json.dumps(found)}\n")
        step += 1


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:-1]], Path(sys.argv[-1]))
    except EdgetlError as error:
        sys.exit(f"after a kill: {error}")
