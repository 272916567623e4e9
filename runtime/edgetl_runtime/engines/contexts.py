"""Graphs that a provider of ONNX Runtime compiled, kept as files that open without compiling again.

ONNX Runtime calls such a file a context: an ONNX file whose only node holds the device's binary. It belongs
to one device and one version of the compiler, so it lies in this machine's cache, never in a bundle. It is a
cache and nothing more: what is damaged is compiled again.
"""

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from edgetl_runtime.errors import EngineError

Session = TypeVar("Session")


def opened(
    place: Path, model: Path, facts: str, options: Any, open_session: Callable[[Path], Session]
) -> Session:
    """Open what was compiled from a model earlier, or compile the model and keep the outcome.

    Args:
        place: the folder of the cache. facts: all that the outcome depends on besides the model.
        options: onnxruntime.SessionOptions, which `open_session` opens a file with.

    Raises:
        EngineError: the model cannot be compiled.
    """
    try:
        kept = place / f"context-{_key(model, facts)}.onnx"
    except OSError:
        return open_session(model)  # It says best what is wrong with the file.
    if kept.exists():
        with suppress(EngineError):
            return open_session(kept)
    with tempfile.TemporaryDirectory(prefix="compiling-", dir=place, ignore_cleanup_errors=True) as folder:
        draft = Path(folder) / kept.name
        options.add_session_config_entry("ep.context_enable", "1")
        options.add_session_config_entry("ep.context_file_path", str(draft))
        options.add_session_config_entry("ep.context_embed_mode", "1")  # One file: whole, or not there.
        session = open_session(model)
        with suppress(OSError):
            draft.replace(kept)
    return session


def _key(model: Path, facts: str) -> str:
    known = hashlib.sha256(facts.encode())
    known.update(model.read_bytes())
    return known.hexdigest()[:32]
