"""A session that follows the switches of a folder of slots, in an app that is never restarted.

Knows when to open another session, and leaves all else to `session`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.signature import PublicKey
from edgetl_runtime.slots import POINTER_NAME

if TYPE_CHECKING:
    from edgetl_runtime.decode import PictureSource
    from edgetl_runtime.session import Prediction, Session

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
) -> Follower:
    """Open the bundle in use of a folder of slots, and go with every switch.

    Args:
        trust: public keys of which one must have signed each bundle; None asks for no signature.
        open_session: how a bundle is opened: `Session.open` by default, or such as
            `functools.partial(Session.open, device="npu")`.
        automatic: whether `predict` looks for a switch, at the cost of one `stat` a call. With False a switch
            is followed only in `refresh`, at a time that suits the app.

    Raises:
        what `Bundle.open` and `open_session` raise.
    """
    return Follower(Path(folder), trust=trust, open_session=open_session, automatic=automatic)


class Follower:
    """What `follow` gives: a session that is replaced at a switch; its methods may be called from any thread.

    session: the one in use; hold on to it for one piece of work only. failure: why the last switch could not
    be followed, so that the session before is still in use; None where all is well.
    """

    def __init__(
        self,
        folder: Path,
        *,
        trust: Sequence[PublicKey] | None = None,
        open_session: OpenSession | None = None,
        automatic: bool = True,
    ) -> None:
        """Open the bundle in use; see `follow`."""
        self.folder = folder
        self.failure: EdgetlError | None = None
        self._trust = trust
        self._open_session = open_session
        self._automatic = automatic
        self._changing = Lock()
        self._seen = self._stamp()
        self.session = self._opened()

    def predict(self, picture: PictureSource) -> Prediction:
        """Predict one picture, with the bundle in use; see `Session.predict`.

        The call that notices a switch opens the new session first, which takes as long as opening does; calls
        of other threads meanwhile use the session before. A new bundle that cannot be opened is logged as an
        error and kept in `failure`, and the session before answers.
        """
        if self._automatic and self._stamp() != self._seen:
            self._change(wait=False)
        return self.session.predict(picture)

    def refresh(self) -> bool:
        """Follow a switch now, and return whether there was one.

        Raises:
            EdgetlError: the new bundle cannot be opened; the session before stays in use.
        """
        changed = self._stamp() != self._seen and self._change(wait=True)
        if self.failure is not None:
            raise self.failure
        return changed

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

    def _opened(self) -> Session:
        from edgetl_runtime.session import Session

        return (self._open_session or Session.open)(Bundle.open(self.folder, trust=self._trust))

    def _stamp(self) -> _Stamp:
        """Return what tells one pointer file from another."""
        try:
            status = (self.folder / POINTER_NAME).stat()
        except FileNotFoundError:  # A folder that is no longer one of slots: opening it says what is wrong.
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size
