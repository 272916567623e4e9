"""Every error that edgetl raises on purpose, in one tree, with the exit code that a command line gives it.

    EdgetlError
    ├─ InputError         2   wrong usage or bad input: the caller can mend it
    │  ├─ PictureError        one picture cannot be used
    │  ├─ DatasetError        a folder, CSV or tar of pictures cannot be used
    │  ├─ BundleError         a bundle is damaged, hostile or of a newer version
    │  │  └─ SignatureError   a bundle is not signed by a key that is trusted
    │  ├─ ReceiptError        receipts cannot be read or compared
    │  └─ EngineError         an engine is not installed, or its device is not there
    └─ ContractError      1   a promise was measured and broken
       └─ ProofError          the device disagrees with the reference cases

Catch the branch that you can act on. The other exit codes: 0 pass, 3 inconclusive, 70 internal error,
130 interrupted. A gate that fails is a `Verdict`, not an exception.
"""

from typing import ClassVar


class EdgetlError(Exception):
    """Root of the tree; never raised itself."""

    exit_code: ClassVar[int] = 70


class InputError(EdgetlError):
    """Say what was wrong, what was got, what is allowed and what to do next."""

    exit_code = 2


class PictureError(InputError):
    """One picture cannot be used.

    Args:
        picture: the name of the picture, as the user knows it.
        reason: a short phrase that completes "The picture …", such as "is empty".
        remedy: a sentence that says what to do next.
    """

    def __init__(self, picture: str, reason: str, remedy: str = "") -> None:
        super().__init__(picture, reason, remedy)
        self.picture = picture
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = f"The picture {self.picture!r} {self.reason}."
        return f"{sentence} {self.remedy}" if self.remedy else sentence


class DatasetError(InputError):
    """A folder, CSV or tar of pictures cannot be used."""


class BundleError(InputError):
    """A bundle is damaged, hostile or of a newer version."""


class SignatureError(BundleError):
    """A bundle is not signed by a key that is trusted."""


class ReceiptError(InputError):
    """Receipts cannot be read or compared."""


class EngineError(InputError):
    """An engine is not installed, or its device is not there."""


class ContractError(EdgetlError):
    """A promise was measured and broken."""

    exit_code = 1


class ProofError(ContractError):
    """The device disagrees with the reference cases."""
