"""Readers of files that others wrote, under random damage: a value, or a typed error."""

import json
import struct
import zipfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from receipt_factories import tiny_predictions, tiny_receipt
from tiny_bundle import tiny_bundle, tiny_manifest, write_manifest, zip_folder

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import BundleError, ReceiptError, SignatureError
from edgetl_runtime.manifest import Manifest
from edgetl_runtime.receipt import Receipt
from edgetl_runtime.signature import Signature
from edgetl_runtime.slots import Pointer, Slot, read_pointer, write_pointer

RECEIPT = tiny_receipt(tiny_predictions([0, 1, 0], [0, 1, 1]))
SIGNATURE = Signature("ed25519", "ab" * 32, "cd" * 64).to_json()
HUGE = ["9" * 5_000, "1e400", "-1e400", "9007199254740993", "1e15", "-1", "0.1", "NaN", "null", "[]", '""']


def damaged(text):
    """Texts with a part replaced: by nothing, by a huge number, by a brace, by another part of the text."""
    places = st.integers(0, len(text))
    parts = st.one_of(
        st.just(""),
        st.sampled_from([*HUGE, "{", "}", "[" * 40, '"', "\\", "\ud800", "\0"]),
        st.tuples(places, st.integers(0, 40)).map(lambda cut: text[cut[0] : cut[0] + cut[1]]),
    )
    return st.tuples(places, st.integers(0, 40), parts).map(
        lambda cut: text[: cut[0]] + cut[2] + text[cut[0] + cut[1] :]
    )


@settings(max_examples=150, deadline=None)
@example(RECEIPT.to_json().replace('"created": "', '"created": "' + "9" * 5_000))
@given(damaged(RECEIPT.to_json()))
def test_a_damaged_receipt_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("receipt") / "receipt.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = Receipt.read(path)
    except ReceiptError as error:
        assert len(str(error)) < 2_000
    else:
        assert len(found.predictions) == 3


@settings(max_examples=150, deadline=None)
@given(damaged(SIGNATURE))
def test_a_damaged_signature_is_read_or_refused(text):
    try:
        found = Signature.from_json(text)
    except SignatureError as error:
        assert len(str(error)) < 2_000
    else:
        assert Signature.from_json(found.to_json()) == found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_pointer_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("slots")
    write_pointer(folder, Pointer(Slot("a", "1" * 64), Slot("b", "2" * 64)))
    text = data.draw(damaged((folder / "slots.json").read_text(encoding="utf-8")))
    (folder / "slots.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read_pointer(folder)
    except BundleError as error:
        assert len(str(error)) < 2_000
    else:
        assert found.current.name in ("a", "b")


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("key", ["tolerance", "temperature", "bytes", "format_version", "size", "fraction"])
def test_a_manifest_with_a_huge_number_is_read_or_refused(key, number):
    value = json.loads(tiny_manifest().to_json())
    text = json.dumps(value)
    old = next(part for part in text.split(f'"{key}": ')[1:])
    end = min(old.index(mark) for mark in ",}" if mark in old)
    changed = text.replace(f'"{key}": {old[:end]}', f'"{key}": {number}', 1)
    assert changed != text or old[:end] == number
    try:
        found = Manifest.from_json(changed)
    except BundleError as error:
        assert len(str(error)) < 2_000
    else:
        assert Manifest.from_json(found.to_json()) == found


def test_a_picture_that_is_a_bundle_too_is_no_bundle(tmp_path):
    """A zip may have anything before it; what a scanner took for a picture must not be opened as a bundle."""
    archive = zip_folder(tiny_bundle(tmp_path / "bundle"), tmp_path / "bundle.zip")
    picture = (tmp_path / "bundle/cases/jpeg.bin").read_bytes()
    (tmp_path / "both.jpg").write_bytes(picture + archive.read_bytes())
    assert zipfile.is_zipfile(tmp_path / "both.jpg")
    with pytest.raises(BundleError, match="does not begin as a zip does"):
        Bundle.open(tmp_path / "both.jpg")


def test_a_bomb_that_claims_to_be_large_already_is_refused(tmp_path):
    """Entries may lie about their packed size, or overlap: the archive's own size is what counts."""
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "zeros.bin").write_bytes(bytes(20 * 2**20))
    write_manifest(folder, tiny_manifest())
    archive = zip_folder(folder, tmp_path / "bomb.zip")
    data = bytearray(archive.read_bytes())
    entry = data.rindex(b"zeros.bin") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    struct.pack_into("<I", data, entry + 20, 2**20)
    archive.write_bytes(data)
    with pytest.raises(BundleError, match="it would grow from"):
        Bundle.open(archive)
