"""What the command line writes: results to stdout, notes and errors to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Escape control characters: names come from files of others and must not drive the terminal."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def print_text(text: str) -> None:
    """Print the result; whoever stopped reading has what was wanted, and the exit code stays what it is."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(harmless(text).rstrip().encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        # The interpreter flushes once more as it ends; let it do so into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def to_json(value: object) -> str:
    """Return what --json prints: strict JSON, no NaN."""
    return json.dumps(value, indent=2, allow_nan=False)


def say(line: str) -> None:
    """Print a line to stderr."""
    print(harmless(line), file=sys.stderr)


def annotate(lines: Iterable[str]) -> None:
    """Print lines to stderr as they are: colours and commands of a CI, whose text is escaped already."""
    encoding = sys.stderr.encoding or "utf-8"
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print what a user should know and need not act upon."""
    say(f"note: {message}")


def show_progress(done: int, total: int) -> None:
    """Overwrite the line that counts pictures."""
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} pictures", end=end, file=sys.stderr, flush=True)
