"""Who made a bundle: an Ed25519 signature over the canonical manifest, in `signature.json` beside it.

The manifest holds the hash of every file, so one signature covers them all. Keys are ordinary PEM files, as
OpenSSL makes them. Alone in the runtime this file imports cryptography (extra `sign`), and only on use.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgetl_runtime.atomic import write_text
from edgetl_runtime.errors import InputError, SignatureError
from edgetl_runtime.manifest import MAX_SIGNATURE_BYTES, SIGNATURE_NAME, Manifest
from edgetl_runtime.strict_json import Fields, brief, canonical, parse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "PublicKey",
    "Signature",
    "check_private_key",
    "read_signature",
    "sign",
    "verify",
    "write_signature",
]

MAX_KEY_BYTES = 65_536

_HEX32, _HEX64 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_GET_SIGNED = "Get the bundle again from its maker, signed; do not install it as it is."
_MAKE_KEYS = (
    "Make a pair: openssl genpkey -algorithm ed25519 -out key.pem; "
    "openssl pkey -in key.pem -pubout -out public.pem"
)
_INSTALL = "Signatures need cryptography. Run: pip install 'edgetl-runtime[sign]'"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key that someone trusts. raw: its 32 bytes (RFC 8032)."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise InputError(f"An Ed25519 public key must have 32 bytes, got {len(self.raw)}.")

    @property
    def id(self) -> str:
        """SHA-256 of the raw bytes, 64 hex digits: how a signature names the key that made it."""
        return hashlib.sha256(self.raw).hexdigest()

    @classmethod
    def read(cls, source: str | os.PathLike[str]) -> PublicKey:
        """Read a PEM file (`openssl pkey -in key.pem -pubout`), or 64 hex digits given in place of a path.

        Raises:
            InputError: the file cannot be read or is no such key, or cryptography is not installed.
        """
        text = os.fspath(source)
        if _HEX32.fullmatch(text):
            return cls(bytes.fromhex(text))
        return cls(_public_bytes(_read_key(Path(source)), text))


def read_keys(trust: Iterable[str] | None) -> list[PublicKey] | None:
    """Read public keys as `PublicKey.read` takes them; None stays None, which asks for no signature."""
    return None if trust is None else [PublicKey.read(key) for key in trust]


@dataclass(frozen=True, slots=True)
class Signature:
    """What `signature.json` holds. key_id: of the public key. signature: 128 hex digits."""

    algorithm: Literal["ed25519"]
    key_id: str
    signature: str

    def __post_init__(self) -> None:
        if not _HEX32.fullmatch(self.key_id):
            raise SignatureError(f"signature.key_id must be 64 hex digits, got {brief(self.key_id)}.")
        if not _HEX64.fullmatch(self.signature):
            raise SignatureError(f"signature.signature must be 128 hex digits, got {brief(self.signature)}.")

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Parse strictly; anything but the three keys is a `SignatureError`."""
        value = parse(text, "signature", SignatureError)
        f = Fields(value, "signature", ("algorithm", "key_id", "signature"), SignatureError)
        return cls(f.choice("algorithm", ("ed25519",)), f.text("key_id"), f.text("signature"))

    def to_json(self) -> str:
        """Return the canonical text."""
        return canonical(asdict(self))


def sign(manifest: Manifest, key: Path) -> Signature:
    """Sign the canonical bytes of a manifest with the Ed25519 private key of a PEM file.

    Raises:
        InputError: the file is no such key, or is encrypted, or cryptography is not installed.
    """
    private = _private_key(_read_key(key), str(key))
    public = PublicKey(private.public_key().public_bytes_raw())
    return Signature("ed25519", public.id, private.sign(manifest.to_json().encode()).hex())


def check_private_key(key: Path) -> None:
    """Refuse a key that cannot sign, before any work is done for what it should sign.

    Raises:
        InputError: as `sign` does.
    """
    _private_key(_read_key(key), str(key))


def write_signature(folder: Path, signature: Signature) -> None:
    """Write `signature.json` beside the manifest of a bundle's folder."""
    write_text(folder / SIGNATURE_NAME, signature.to_json())


def read_signature(folder: Path) -> Signature | None:
    """Return the signature beside a manifest, or None where there is none.

    Raises:
        SignatureError: `signature.json` is not what docs/bundle-format.md says.
    """
    path = folder / SIGNATURE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MAX_SIGNATURE_BYTES:
        raise SignatureError(f"{SIGNATURE_NAME} must have at most {MAX_SIGNATURE_BYTES} bytes.")
    try:
        return Signature.from_json(data.decode())
    except UnicodeDecodeError as error:
        raise SignatureError(f"{SIGNATURE_NAME} must be UTF-8: {error}.") from None


def verify(manifest: Manifest, signature: Signature | None, trust: Sequence[PublicKey]) -> PublicKey:
    """Return the trusted key that signed a manifest.

    Args:
        trust: the public keys of which one must have signed; several, where keys are being changed.

    Raises:
        SignatureError: there is no signature, another key made it, or it is not of this manifest.
        InputError: no key is trusted at all, or cryptography is not installed.
    """
    if not trust:
        raise InputError("trust must name at least one public key; None asks for no signature.")
    if signature is None:
        raise SignatureError(f"The bundle is not signed: it has no {SIGNATURE_NAME}. {_GET_SIGNED}")
    key = next((one for one in trust if one.id == signature.key_id), None)
    if key is None:
        known = ", ".join(one.id[:16] for one in trust)
        raise SignatureError(
            f"The bundle is signed by the key {signature.key_id[:16]}…, which is not trusted here; trusted: "
            f"{known}. {_GET_SIGNED}"
        )
    if not _holds(key, bytes.fromhex(signature.signature), manifest.to_json().encode()):
        raise SignatureError(
            f"The signature by the key {key.id[:16]}… is not one of this bundle: the manifest was changed, "
            f"or the signature is another bundle's. {_GET_SIGNED}"
        )
    return key


def _holds(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise InputError(_INSTALL) from error
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(f"The key {str(path)!r} cannot be read: {error}. Give a PEM file.") from error
    if len(data) > MAX_KEY_BYTES:
        raise InputError(f"The key {str(path)!r} is larger than any key: over {MAX_KEY_BYTES} bytes.")
    return data


def _public_bytes(pem: bytes, name: str) -> bytes:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise InputError(_INSTALL) from error
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{name!r} is not a public key in PEM: {error}. {_MAKE_KEYS}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{name!r} must be an Ed25519 public key, got {type(key).__name__}. {_MAKE_KEYS}")
    return key.public_bytes_raw()


def _private_key(pem: bytes, name: str) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise InputError(_INSTALL) from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
        raise InputError(
            f"{name!r} is not an unencrypted private key in PEM: {error}. {_MAKE_KEYS}"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{name!r} must be an Ed25519 private key, got {type(key).__name__}. {_MAKE_KEYS}")
    return key
