"""Run edgetl bundles on a device and prove them there: predict, validate and gate, without torch.

Names are resolved on first use, so that `import edgetl_runtime` loads neither Pillow nor an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.engines import Engine
    from edgetl_runtime.errors import (
        BundleError,
        ContractError,
        DatasetError,
        EdgetlError,
        EngineError,
        InputError,
        PictureError,
        ProofError,
        ReceiptError,
        SignatureError,
    )
    from edgetl_runtime.following import follow
    from edgetl_runtime.gating import Flip, Verdict, gate
    from edgetl_runtime.installation import install, rollback
    from edgetl_runtime.manifest import Manifest, Variant
    from edgetl_runtime.metrics import Figure
    from edgetl_runtime.monitor import Monitor
    from edgetl_runtime.pictures import Index, Picture, Unreadable, index
    from edgetl_runtime.preprocess import Preprocess
    from edgetl_runtime.proof import Check, Proof, prove
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.session import Prediction, Session
    from edgetl_runtime.signature import PublicKey
    from edgetl_runtime.statistics import Interval, tango, wilson
    from edgetl_runtime.validation import validate

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "BundleError",
    "Check",
    "ContractError",
    "DatasetError",
    "EdgetlError",
    "Engine",
    "EngineError",
    "Figure",
    "Flip",
    "Index",
    "InputError",
    "Interval",
    "Manifest",
    "Monitor",
    "Picture",
    "PictureError",
    "Prediction",
    "Preprocess",
    "Proof",
    "ProofError",
    "PublicKey",
    "Receipt",
    "ReceiptError",
    "Session",
    "SignatureError",
    "Unreadable",
    "Variant",
    "Verdict",
    "__version__",
    "follow",
    "gate",
    "index",
    "install",
    "prove",
    "rollback",
    "tango",
    "validate",
    "wilson",
]

# No module may share its name with a public object: importing the module would hide the object.
_MODULES = {
    "bundle": ("Bundle",),
    "engines": ("Engine",),
    "errors": (
        "BundleError",
        "ContractError",
        "DatasetError",
        "EdgetlError",
        "EngineError",
        "InputError",
        "PictureError",
        "ProofError",
        "ReceiptError",
        "SignatureError",
    ),
    "following": ("follow",),
    "gating": ("Flip", "Verdict", "gate"),
    "installation": ("install", "rollback"),
    "manifest": ("Manifest", "Variant"),
    "metrics": ("Figure",),
    "monitor": ("Monitor",),
    "pictures": ("Index", "Picture", "Unreadable", "index"),
    "preprocess": ("Preprocess",),
    "proof": ("Check", "Proof", "prove"),
    "receipt": ("Receipt",),
    "session": ("Prediction", "Session"),
    "signature": ("PublicKey",),
    "statistics": ("Interval", "tango", "wilson"),
    "validation": ("validate",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
