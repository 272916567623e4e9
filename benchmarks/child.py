"""Calls in a process of their own, which serves many and may crash or hang: that costs one call alone."""

import re
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

_SPAWN = get_context("spawn")
_COLOUR = r"\x1b\[[0-9;]*m"


class CallError(Exception):
    """A call that came to nothing, with the reason."""


class Child:
    """Calls `function`, which spawn can import, in another process; a new one after `calls` or a failure."""

    def __init__(self, function: Callable[..., Any], *, calls: int) -> None:
        self._function = function
        self._calls = calls
        self._left = 0

    def call(self, *arguments: object, seconds: float) -> Any:
        """Return what the function returns; raises CallError where it raises, crashes or takes too long."""
        if not self._left:
            self._start()
        self._left -= 1
        try:
            ok, value = self._answer(arguments, seconds)
        except CallError:
            self._left = 0
            self.close()
            raise
        if not self._left:
            self.close()
        if not ok:
            raise CallError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, self._function), daemon=True)
        self._process.start()
        theirs.close()
        self._left = self._calls

    def _answer(self, arguments: tuple[object, ...], seconds: float) -> tuple[bool, Any]:
        self._pipe.send(arguments)
        try:
            if not self._pipe.poll(seconds):
                raise CallError(f"not done after {seconds:g} s")
            answer: tuple[bool, Any] = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise CallError(f"the process ended with code {self._process.exitcode}") from None
        return answer


def _serve(pipe: Connection, function: Callable[..., Any]) -> None:
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:  # Whom we serve is gone.
            return
        try:
            pipe.send((True, function(*arguments)))
        except Exception as error:  # Told to the caller, who raises it.
            pipe.send((False, _reason(error)))


def _reason(error: BaseException) -> str:
    """Say what an error was caused by in the end, without the colours of a terminal."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {re.sub(_COLOUR, '', str(error))}"
