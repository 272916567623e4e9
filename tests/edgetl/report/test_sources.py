"""Sources are known by their content."""

import pytest
from report_factories import two_receipts, write_facts
from tiny_bundle import tiny_bundle, zip_folder

from edgetl.report.sources import read_sources
from edgetl_runtime.errors import InputError, ReceiptError


def write_receipts(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "one.json", folder / "two.json"]
    for path, receipt in zip(paths, two_receipts(**changes), strict=True):
        receipt.write(path)
    return paths


def test_any_order_of_a_run_a_bundle_and_receipts_is_understood(tmp_path):
    receipts = write_receipts(tmp_path)
    bundle, run = tiny_bundle(tmp_path / "b"), write_facts(tmp_path / "r")
    sources = read_sources([receipts[0], bundle, receipts[1], run])
    assert sources.run.name == "pets"
    assert sources.manifest.name == sources.title == "colours"
    assert [one.name for one in sources.receipts] == ["onnx-fp32", "onnx-int8"]


def test_a_zip_is_a_bundle(tmp_path):
    archive = zip_folder(tiny_bundle(tmp_path / "b"), tmp_path / "bundle.anything")
    assert read_sources([archive]).manifest.name == "colours"


def test_receipts_of_one_variant_are_told_apart_by_file(tmp_path):
    paths = write_receipts(tmp_path)
    names = [one.name for one in read_sources([paths[0], paths[0], paths[1]]).receipts]
    assert names == ["onnx-fp32 on cpu (one) #1", "onnx-fp32 on cpu (one) #2", "onnx-int8"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda root: [], InputError, "needs a run, a bundle or a receipt"),
        (lambda root: [root / "nowhere"], InputError, "There is nothing at"),
        (lambda root: [root], InputError, "is neither a run (run.json) nor a bundle (manifest.json)"),
        (lambda root: [write_facts(root / "a"), write_facts(root / "b")], InputError, "shows one run, got 2"),
        (lambda root: [write_text(root / "a.json", "{}")], ReceiptError, "is no receipt"),
    ],
)
def test_what_is_no_source_is_refused_in_words(tmp_path, make, error, message):
    with pytest.raises(error) as caught:
        read_sources(make(tmp_path))
    assert message in str(caught.value)


def write_text(path, text):
    path.write_text(text, encoding="utf-8")
    return path
