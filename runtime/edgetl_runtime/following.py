"""Which session of a folder of slots answers now: an app that is never restarted goes with every switch.

Knows when to open another session, and which one to keep where a bundle cannot be used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import BundleError, EdgetlError, EngineError, ProofError
from edgetl_runtime.forking import on_fork
from edgetl_runtime.signature import PublicKey
from edgetl_runtime.slots import POINTER_NAME, Slot, find_pointer

if TYPE_CHECKING:
    from edgetl_runtime.session import Session

__all__ = ["Follower", "follow"]

OpenSession = Callable[[Bundle], "Session"]
_Stamp = tuple[int, int, int]

_LOG = logging.getLogger(__name__)


def follow(
    folder: str | os.PathLike[str],
    *,
    trust: Sequence[PublicKey] | None = None,
    open_session: OpenSession | None = None,
    automatic: bool = True,
) -> Session:
    """Open a folder of slots as `Session.open` does, with a say in how and when.

    Args:
        trust: public keys of which one must have signed each bundle; None asks for no signature.
        open_session: how a bundle is opened: `Session.open` by default, or such as
            `functools.partial(Session.open, device="npu")`.
        automatic: whether every call looks for a switch, at the cost of one `stat`. With False a switch is
            followed only in `Session.refresh`, at a time that suits the app.

    Raises:
        what `Bundle.open` and `open_session` raise.
    """
    from edgetl_runtime.session import Session, of_slots

    return of_slots(Follower(Path(folder), open_session or Session.open, trust=trust, automatic=automatic))


class Follower:
    """The session of the bundle in use, replaced at a switch; its methods may be called from any thread.

    session: the one that answers now. failure: why the bundle that `slots.json` names is not the one that
    answers; None where it is.
    """

    def __init__(
        self,
        folder: Path,
        open_session: OpenSession,
        *,
        trust: Sequence[PublicKey] | None = None,
        automatic: bool = True,
    ) -> None:
        """Open the bundle in use, or the one before where that one cannot be used; see `follow`."""
        self.folder = folder
        self.failure: EdgetlError | None = None
        self._trust = trust
        self._open_session = open_session
        self._automatic = automatic
        self._unlock()
        on_fork(self, Follower._unlock)
        self._seen = self._stamp()
        self.session = self._first()

    def now(self) -> Session:
        """Return the session of the bundle in use.

        The call that notices a switch opens the new session first, which takes as long as opening does; calls
        of other threads meanwhile get the session before. A new bundle that cannot be opened is logged as an
        error and kept in `failure`, and the session before stays.
        """
        if self._automatic and self._stamp() != self._seen:
            self._change(wait=False)
        return self.session

    def refresh(self) -> bool:
        """Follow a switch now; see `Session.refresh`."""
        changed = self._stamp() != self._seen and self._change(wait=True)
        if self.failure is not None:
            raise self.failure
        return changed

    def close(self) -> None:
        """Follow no more, and close the session."""
        self._automatic = False
        self.session.close()

    def _unlock(self) -> None:
        self._changing = Lock()

    def _change(self, *, wait: bool) -> bool:
        if not self._changing.acquire(blocking=wait):
            return False
        try:
            stamp = self._stamp()
            if stamp == self._seen:  # Another thread was faster.
                return False
            # Before opening: a switch during it is then noticed at the next call.
            self._seen = stamp
            return self._replace()
        finally:
            self._changing.release()

    def _replace(self) -> bool:
        try:
            # The session before is not closed: other threads may be in it. It goes with its last user.
            self.session = self._opened()
        except EdgetlError as error:
            self.failure = error
            _LOG.error("%s was switched, and the new bundle is not used: %s", self.folder, error)
            return False
        self.failure = None
        return True

    def _first(self) -> Session:
        try:
            return self._opened()
        except (BundleError, EngineError, ProofError) as error:
            return self._before(error)

    def _opened(self, slot: Slot | None = None) -> Session:
        """Open the bundle in use, or what lies in a slot."""
        begun = perf_counter()
        if slot is None:
            bundle = Bundle.open(self.folder, trust=self._trust)
        else:
            bundle = Bundle.open_slot(self.folder, slot, trust=self._trust)
        session = self._open_session(bundle)
        session.opening_ms = 1000 * (perf_counter() - begun)
        return session

    def _before(self, error: BundleError | EngineError | ProofError) -> Session:
        """Open the bundle before the one in use, which was damaged, or fails with a driver that changed."""
        pointer = find_pointer(self.folder)
        if pointer is None or pointer.previous is None:
            raise error
        slot = pointer.previous
        try:
            session = self._opened(slot)
        except (BundleError, EngineError, ProofError) as second:
            both = f"{error} The bundle before it, in slot {slot.name!r}, cannot be used either: {second}"
            raise type(error)(both) from error
        self.failure = error
        _LOG.warning("The bundle before, in slot %r of %s, is used: %s", slot.name, self.folder, error)
        return session

    def _stamp(self) -> _Stamp:
        """Return what tells one pointer file from another."""
        try:
            status = (self.folder / POINTER_NAME).stat()
        except FileNotFoundError:  # A folder that is no longer one of slots: opening it says what is wrong.
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size
