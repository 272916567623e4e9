"""Signatures: who made a bundle. Keys are made by the library itself, and by the vectors of RFC 8032."""

import json
from pathlib import Path

import pytest
from tiny_bundle import edit_manifest, tiny_bundle, tiny_manifest, write_colour, zip_folder

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.cli import main
from edgetl_runtime.errors import BundleError, InputError, SignatureError
from edgetl_runtime.session import Session
from edgetl_runtime.signature import PublicKey, Signature, read_signature, sign, verify, write_signature

pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write_keys(folder: Path, name: str = "key", *, password: bytes | None = None) -> Path:
    """Write NAME.pem and NAME.pub as OpenSSL does."""
    private = Ed25519PrivateKey.generate()
    return write_pair(folder, name, private, password)


def write_pair(folder: Path, name: str, private, password: bytes | None = None) -> Path:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(private.private_bytes(pem, pkcs8, hidden))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem"


def signed_bundle(tmp_path: Path) -> tuple[Path, PublicKey]:
    folder = tiny_bundle(tmp_path / "bundle")
    key = write_keys(tmp_path)
    write_signature(folder, sign(Bundle.open(folder).manifest, key))
    return folder, PublicKey.read(tmp_path / "key.pub")


def test_a_signed_bundle_opens_and_names_its_signer(tmp_path):
    folder, key = signed_bundle(tmp_path)
    for path in (folder, zip_folder(folder, tmp_path / "bundle.zip")):
        with Bundle.open(path, trust=[key]) as bundle:
            assert bundle.signer == key


def test_whoever_asks_for_no_signature_gets_none(tmp_path):
    folder, _ = signed_bundle(tmp_path)
    assert Bundle.open(folder).signer is None


def test_a_second_trusted_key_lets_keys_be_changed(tmp_path):
    folder, key = signed_bundle(tmp_path)
    assert Bundle.open(folder, trust=[PublicKey(bytes(32)), key]).signer == key


def test_a_bundle_without_a_signature_is_refused(tmp_path):
    with pytest.raises(SignatureError, match=r"is not signed: it has no signature.json"):
        Bundle.open(tiny_bundle(tmp_path / "bundle"), trust=[PublicKey(bytes(32))])


def test_a_session_opens_only_what_a_trusted_key_signed(tmp_path):
    folder, key = signed_bundle(tmp_path)
    with Session.open(folder, trust=[key]) as session:
        assert session.bundle.signer == key
    with Bundle.open(zip_folder(folder, tmp_path / "b.zip")) as opened:
        with pytest.raises(SignatureError, match="not trusted here"):
            Session.open(opened, trust=[PublicKey(bytes(32))])
        with Session.open(opened, trust=[key]) as session:
            assert session.variant.name == "onnx-fp32"


@pytest.mark.parametrize("command", ["predict", "validate", "bench", "info"])
def test_the_commands_ask_for_a_signature(tmp_path, capsys, command):
    folder, key = signed_bundle(tmp_path)
    write_colour(tmp_path / "data" / "red" / "0.png", "red")
    picture = [str(tmp_path / "data" / "red" / "0.png")]
    given = {"predict": picture, "validate": [str(tmp_path / "data")], "bench": ["--rounds", "1"], "info": []}
    arguments = [command, str(folder), *given[command]]
    assert main([*arguments, "--trust", "0" * 64]) == 2
    assert "not trusted here" in capsys.readouterr().err
    assert main([*arguments, "--trust", "0" * 64, "--trust", key.raw.hex()]) == 0


def test_a_bundle_signed_by_a_stranger_is_refused(tmp_path):
    folder, key = signed_bundle(tmp_path)
    with pytest.raises(SignatureError, match=f"signed by the key {key.id[:16]}…, which is not trusted here"):
        Bundle.open(folder, trust=[PublicKey(bytes(32))])


def test_a_changed_manifest_is_refused_although_its_files_are_sound(tmp_path):
    folder, key = signed_bundle(tmp_path)
    edit_manifest(folder, lambda value: value.update(name="another"))
    Bundle.open(folder)
    with pytest.raises(SignatureError, match="is not one of this bundle"):
        Bundle.open(folder, trust=[key])


def test_a_stranger_cannot_sign_under_a_trusted_name(tmp_path):
    folder, key = signed_bundle(tmp_path)
    forged = sign(Bundle.open(folder).manifest, write_keys(tmp_path, "other"))
    write_signature(folder, Signature("ed25519", key.id, forged.signature))
    with pytest.raises(SignatureError, match="is not one of this bundle"):
        Bundle.open(folder, trust=[key])


def test_a_refused_zip_leaves_nothing_unpacked(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    archive = zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "bundle.zip")
    with pytest.raises(SignatureError):
        Bundle.open(archive, trust=[PublicKey(bytes(32))])
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_layout_of_the_manifest_does_not_matter_only_what_it_says(tmp_path):
    folder, key = signed_bundle(tmp_path)
    edit_manifest(folder, lambda value: None)
    assert Bundle.open(folder, trust=[key]).signer == key


def test_trusting_nobody_is_a_mistake_of_the_caller(tmp_path):
    folder, _ = signed_bundle(tmp_path)
    with pytest.raises(InputError, match="trust must name at least one public key"):
        Bundle.open(folder, trust=[])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "signature is not valid JSON"),
        ("[]", "signature must be an object"),
        (
            '{"algorithm": "rsa", "key_id": "", "signature": ""}',
            "signature.algorithm must be one of 'ed25519'",
        ),
        (
            json.dumps({"algorithm": "ed25519", "key_id": "A" * 64, "signature": "0" * 128}),
            "key_id must be 64",
        ),
        (
            json.dumps({"algorithm": "ed25519", "key_id": "a" * 64, "signature": "0"}),
            "must be 128 hex digits",
        ),
        (json.dumps({"algorithm": "ed25519", "key_id": "a" * 64, "signature": "0" * 128, "x": 1}), "unknown"),
    ],
)
def test_a_signature_file_that_is_none_is_refused(tmp_path, text, message):
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "signature.json").write_text(text, encoding="utf-8")
    with pytest.raises(SignatureError, match=message):
        Bundle.open(folder, trust=[PublicKey(bytes(32))])


def test_a_signature_file_that_is_no_text_or_too_long_is_refused(tmp_path):
    (tmp_path / "signature.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SignatureError, match="must be UTF-8"):
        read_signature(tmp_path)
    (tmp_path / "signature.json").write_bytes(b" " * 4_097)
    with pytest.raises(SignatureError, match="at most 4096 bytes"):
        read_signature(tmp_path)


def test_a_signature_beyond_the_limit_is_refused_in_a_folder_and_in_a_zip(tmp_path):
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "signature.json").write_bytes(b" " * 4_097)
    for path in (folder, zip_folder(folder, tmp_path / "bundle.zip")):
        with pytest.raises(BundleError, match=r"'signature.json' has 4097 bytes where 4096 are allowed"):
            Bundle.open(path)


def test_a_signature_by_a_link_is_refused(tmp_path):
    folder, key = signed_bundle(tmp_path)
    (folder / "signature.json").rename(tmp_path / "signature.json")
    (folder / "signature.json").symlink_to(tmp_path / "signature.json")
    with pytest.raises(BundleError, match=r"'signature.json' is not a regular file"):
        Bundle.open(folder, trust=[key])


def test_a_key_may_be_given_as_hex_digits(tmp_path):
    write_keys(tmp_path)
    key = PublicKey.read(tmp_path / "key.pub")
    assert PublicKey.read(key.raw.hex()) == key


def test_the_signature_is_that_of_rfc_8032(tmp_path):
    """The secret key of test vector 1, and the public key that the RFC gives for it."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    private = Ed25519PrivateKey.from_private_bytes(secret)
    made = sign(tiny_manifest(), write_pair(tmp_path, "rfc", private))
    assert PublicKey.read(tmp_path / "rfc.pub").raw.hex() == public
    assert made == sign(tiny_manifest(), tmp_path / "rfc.pem")
    assert verify(tiny_manifest(), made, [PublicKey.read(public)]).raw.hex() == public
    private.public_key().verify(bytes.fromhex(made.signature), tiny_manifest().to_json().encode())


def test_keys_that_are_none_say_how_to_make_one(tmp_path):
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match=r"is not a public key in PEM.*openssl genpkey"):
        PublicKey.read(tmp_path / "text")
    with pytest.raises(InputError, match=r"is not an unencrypted private key in PEM.*openssl genpkey"):
        sign(tiny_manifest(), tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read"):
        PublicKey.read(tmp_path / "missing")
    (tmp_path / "large").write_bytes(bytes(65_537))
    with pytest.raises(InputError, match="larger than any key"):
        PublicKey.read(tmp_path / "large")
    with pytest.raises(InputError, match="must have 32 bytes, got 31"):
        PublicKey(bytes(31))


def test_keys_of_another_kind_are_refused(tmp_path):
    pem = write_pair(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match="must be an Ed25519 private key"):
        sign(tiny_manifest(), pem)
    with pytest.raises(InputError, match="must be an Ed25519 public key"):
        PublicKey.read(tmp_path / "curve.pub")


def test_an_encrypted_key_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not an unencrypted private key"):
        sign(tiny_manifest(), write_keys(tmp_path, password=b"secret"))


def test_without_cryptography_the_extra_is_named(tmp_path, monkeypatch):
    folder, key = signed_bundle(tmp_path)
    for name in ("exceptions", "hazmat.primitives.serialization"):
        monkeypatch.setitem(__import__("sys").modules, f"cryptography.{name}", None)
    for use in (
        lambda: Bundle.open(folder, trust=[key]),
        lambda: PublicKey.read(tmp_path / "key.pub"),
        lambda: sign(tiny_manifest(), tmp_path / "key.pem"),
    ):
        with pytest.raises(InputError, match=r"Run: pip install 'edgetl-runtime\[sign\]'"):
            use()
