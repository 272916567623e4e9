"""The tools for Arm's Ethos-U in an environment of their own: Vela, which compiles, and reference kernels.

`python -m edgetl_exporters.ethosu_tools` makes it inside the environment that is in use, or at
$EDGETL_ETHOSU; 115 MB. Nothing of edgetl is installed there, and nothing of it is imported here.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl_exporters import ethosu_kernels
from edgetl_runtime.errors import ContractError, EngineError

VARIABLE = "EDGETL_ETHOSU"
COMMAND = "python -m edgetl_exporters.ethosu_tools"
PINS = (
    "ethos-u-vela==5.2.0",
    "flatbuffers==25.12.19",
    "numpy==2.4.6",
    "pyyaml==6.0.3",
    "tflite-micro==0.dev20261023182759",
)
VELA, KERNELS = (PINS[place].replace("==", " ") for place in (0, 4))

_READY = "edgetl-ready.txt"
_LAST_LINES = 5


def folder() -> Path:
    """Return where the environment is, or is to be."""
    told = os.environ.get(VARIABLE)
    return Path(told) if told else Path(sys.prefix, "share", "edgetl", "ethos-u")


def is_ready() -> bool:
    """Say whether the environment is there, whole, and at these versions."""
    ready = folder() / _READY
    return ready.is_file() and ready.read_text(encoding="utf-8") == _contents()


def require_tools(name: str) -> None:
    """Refuse to make a variant of this name where the tools are not there.

    Raises:
        EngineError: with the command that makes them.
    """
    if not is_ready():
        raise EngineError(
            f"{name} is written after Arm's compiler and reference kernels have run it, and they are not in "
            f"{str(folder())!r}, or at other versions. Run: {COMMAND}"
        )


def make() -> None:
    """Make the environment, or finish one whose making was interrupted."""
    if is_ready():
        return
    place = folder()
    if place.exists() and any(place.iterdir()) and not (place / "pyvenv.cfg").is_file():
        raise EngineError(f"{str(place)!r} holds something else. Set {VARIABLE} to another folder.")
    venv.create(place, with_pip=True)
    command = [_python(), "-m", "pip", "install", "--disable-pip-version-check", *PINS]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise EngineError(
            f"pip could not install {', '.join(PINS)} into {str(place)!r}; what it said is above. There are "
            "packages for Linux on x86. Mend it and run this again."
        ) from error
    (place / _READY).write_text(_contents(), encoding="utf-8")


def vela(arguments: Sequence[str]) -> str:
    """Run Vela and return what it prints."""
    return _run("Vela", ["-m", "ethosu.vela", *arguments])


def run_kernels(model: Path, pixels: NDArray[np.int8], place: Path) -> NDArray[np.int8]:
    """Return what a .tflite file gives by the reference kernels for pictures: (n, values).

    Args:
        pixels: (n, size, size, 3), less 128. place: a folder for what goes to and fro.
    """
    given, got = place / "pixels.npy", place / "outputs.npy"
    np.save(given, pixels, allow_pickle=False)
    _run("The reference kernels", [ethosu_kernels.__file__, str(model), str(given), str(got)])
    found: NDArray[np.int8] = np.load(got, allow_pickle=False)
    return found


def _run(what: str, arguments: Sequence[str]) -> str:
    # Isolated: the tools see neither this environment's packages nor the folder they are called from.
    done = subprocess.run([_python(), "-I", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise ContractError(
            f"{what} failed with {done.returncode}: {told} Report this with the backbone's name."
        )
    return done.stdout + done.stderr


def _python() -> str:
    place = folder()
    return str(place / "Scripts" / "python.exe" if os.name == "nt" else place / "bin" / "python")


def _contents() -> str:
    return "".join(f"{pin}\n" for pin in PINS)


if __name__ == "__main__":
    try:
        make()
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
