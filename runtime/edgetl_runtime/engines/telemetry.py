"""OpenVINO reports its use to its makers, from its import on. Nothing of ours shall."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep `import openvino` from sending usage events and from writing an identity into the home folder.

    Meanwhile its module of telemetry counts as not installed, which openvino allows for. Whoever has imported
    that module already has asked for it.
    """
    if _NAME in sys.modules:
        yield
        return
    sys.modules[_NAME] = None  # type: ignore[assignment]  # How Python says that a module must not be found.
    try:
        yield
    finally:
        del sys.modules[_NAME]
