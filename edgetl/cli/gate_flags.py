"""What the gate is asked, as flags of a command: the table is the runtime's, that of `edgetl check`."""

from collections.abc import Callable

from edgetl.cli.flags import flag, with_flags
from edgetl_runtime.asking import FLAGS

_KINDS = {"text": str, "number": float, "truth": bool}


def with_gate_flags(command: Callable[..., None], *, after: int) -> Callable[..., None]:
    """Give a command that takes any keyword the flags of the gate, behind its first `after` parameters."""
    flags = [
        flag(one.key, _KINDS[one.kind], f"--{one.name}", _sentence(one.told), metavar=one.value or None)
        for one in FLAGS
    ]
    return with_flags(command, flags, after=after)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
