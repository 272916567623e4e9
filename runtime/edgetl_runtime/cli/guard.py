"""From what a command does or raises to an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from edgetl_runtime.cli.printing import say
from edgetl_runtime.errors import EdgetlError, InputError

INTERNAL, INTERRUPTED = 70, 130
EXIT_CODES = (
    "Exit codes: 0 pass, 1 a gate or contract failed, 2 wrong usage or bad input, 3 inconclusive, "
    "70 an internal error, 130 interrupted."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command prints, and the code that it exits with."""

    text: str
    exit_code: int = 0


def guarded(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command; turn what it raises into one line on stderr and an exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except EdgetlError as error:
        return _fail(f"error: {error}", error.exit_code, debug=debug)
    except OSError as error:  # a file that cannot be read or written
        return _fail(f"error: {error}", InputError.exit_code, debug=debug)
    except Exception as error:
        advice = "This is a fault of edgetl: run again with --debug and report it."
        return _fail(f"error: {type(error).__name__}: {error}. {advice}", INTERNAL, debug=debug)


def _fail(message: str, exit_code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    say(message)
    return exit_code
