"""What Qualcomm's provider of ONNX Runtime is told, and whether there is a Hexagon behind it or a simulator.

On a device the provider finds the processor by itself. The package for x86 has Qualcomm's simulator of it
instead, which must be told what it stands for: untold, it computes float graphs in float32, as no Hexagon
does.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

from edgetl_runtime.errors import EngineError

VARIABLE = "EDGETL_QNN"
KEYS = ("backend_path", "htp_arch", "soc_model")
# A Snapdragon X Elite, SC8380XP.
_SIMULATED = {"htp_arch": "73", "soc_model": "60"}
_X86 = ("x86_64", "amd64")


def is_simulator() -> bool:
    """Say whether this machine can only simulate: no x86 has a Hexagon."""
    return platform.machine().lower() in _X86


def options(package: ModuleType) -> Mapping[str, str]:
    """Return the provider's options: its own library for the HTP, then what $EDGETL_QNN says.

    Raises:
        EngineError: the variable cannot be read.
    """
    own = {"backend_path": str(package.get_qnn_htp_path())}
    return own | (_SIMULATED if is_simulator() else {}) | read_variable(os.environ.get(VARIABLE, ""))


def read_variable(text: str) -> dict[str, str]:
    """Read "htp_arch=75,soc_model=69"."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if not found.keys() <= set(KEYS) or not all(found.values()):
        raise EngineError(
            f"${VARIABLE} must set some of {', '.join(KEYS)}, as in 'htp_arch=75,soc_model=69', got {text!r}."
        )
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Send what the simulator prints as it starts to the errors: on the standard output it spoils results."""
    if os.name != "posix" or not is_simulator():
        yield
        return
    import ctypes

    flush = ctypes.CDLL(None).fflush  # The simulator prints by C, which has a buffer of its own.
    flush(None)
    try:
        kept = os.dup(1)
    except OSError:  # There is no standard output that could be spoilt.
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)
