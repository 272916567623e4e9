import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import tiny_manifest, tiny_variant

from edgetl_runtime.errors import BundleError
from edgetl_runtime.manifest import Case, FileEntry, Manifest

TEXT = tiny_manifest().to_json()
VALUE = json.loads(TEXT)


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    value = deepcopy(VALUE)
    change(value)
    return json.dumps(value)


def test_a_manifest_comes_back_equal_from_its_json() -> None:
    variants = (tiny_variant("onnxruntime", reject_below=0.5, batch=4), tiny_variant("openvino"))
    manifest = tiny_manifest(variants=variants, name="Zähne", provenance={"deep": [{"er": None}]})
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_text_is_canonical() -> None:
    assert list(VALUE) == sorted(VALUE)
    assert TEXT.endswith("}\n")
    assert Manifest.from_json(json.dumps(VALUE)).to_json() == TEXT


def test_equal_manifests_have_equal_hashes_however_their_numbers_are_written() -> None:
    whole = tiny_manifest(variants=(tiny_variant("onnxruntime", temperature=1, contract={"drop": 0}),))
    point = tiny_manifest(variants=(tiny_variant("onnxruntime", temperature=1.0, contract={"drop": 0.0}),))
    assert whole == point
    assert whole.hash == point.hash == Manifest.from_json(point.to_json()).hash


def test_the_hash_covers_the_hash_of_every_file() -> None:
    manifest = tiny_manifest()
    first, *rest = manifest.files
    changed = replace(manifest, files=(replace(first, sha256="1" * 64), *rest))
    assert len(manifest.hash) == 64
    assert changed.hash != manifest.hash == Manifest.from_json(json.dumps(VALUE)).hash


def test_a_manifest_of_a_newer_version_asks_for_an_upgrade() -> None:
    newer = edited(lambda value: value.update(format_version=2, something_new=True))
    with pytest.raises(BundleError) as error:
        Manifest.from_json(newer)
    assert str(error.value) == (
        "The bundle has format version 2, made by a newer edgetl; this one reads up to 1. "
        "Run: pip install --upgrade edgetl-runtime"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=0), "Manifest.format_version must be 1, got 0."),
        (lambda m: m.update(format_version="1"), "manifest.format_version must be a whole number, got '1'."),
        (
            lambda m: m.update(colour="red"),
            "manifest has unknown keys ['colour']; known are 'format_version',",
        ),
        (lambda m: m.pop("classes"), "manifest lacks 'classes'."),
        (lambda m: m.update(classes=["red"]), "Manifest.classes must have 2 to 100,000 entries, got 1."),
        (
            lambda m: m.update(classes=["red", "red", "x"]),
            "Manifest.classes must differ from one another, got 'red'.",
        ),
        (lambda m: m.update(classes=["red", ""]), "Manifest.classes[1] must be 1 to 1000 characters"),
        (lambda m: m.update(classes=["red", "a\x1b[2J"]), "none of them a control character"),
        (lambda m: m.update(task="detection"), "manifest.task must be one of 'single_label', 'multi_label'"),
        (lambda m: m.update(name=" "), "Manifest.name must be 1 to 1000 characters"),
        (lambda m: m.update(preprocess=[]), "Preprocess"),
        (lambda m: m["preprocess"][2].update(size=10**9), "Preprocess"),
        (lambda m: m["normalization"].update(std=[0, 1, 1]), "Normalization.std must be above 0"),
        (lambda m: m["normalization"].update(mean=[0, 1]), "Normalization.mean must be 3 finite numbers"),
        (
            lambda m: m["variants"][0].update(reject_below=-0.1),
            "Variant 'onnx-fp32': reject_below must be 0 to 1 or null, got -0.1.",
        ),
        (
            lambda m: m["variants"][0].update(batch=0),
            "Variant 'onnx-fp32': batch must be 1 to 4,096 or null, got 0.",
        ),
        (
            lambda m: (m.update(task="multi_label"), m["variants"][1].update(reject_below=0.5)),
            "Variant.reject_below is for single_label; variants, got ['openvino-fp32'].",
        ),
        (lambda m: m.update(variants=[]), "Manifest.variants must have 1 to 100 entries, got 0."),
        (lambda m: m["variants"].append(m["variants"][0]), "must differ from one another, got 'onnx-fp32'."),
        (lambda m: m["variants"][1].update(engine="tensorrt"), "manifest.variants[1].engine must be one of"),
        (
            lambda m: m["variants"][0].update(precision="int4"),
            "manifest.variants[0].precision must be one of",
        ),
        (lambda m: m["variants"][0].update(execution="f64"), "manifest.variants[0].execution must be one of"),
        (lambda m: m["variants"][0].update(name="../up"), "Variant.name must be 1 to 100 of a-z"),
        (
            lambda m: m["variants"][0].update(temperature=0),
            "'onnx-fp32': temperature must be a number above 0",
        ),
        (
            lambda m: m["variants"][0].update(temperature=-1),
            "'onnx-fp32': temperature must be a number above 0",
        ),
        (lambda m: m["variants"][0].update(tolerance=1e9), "tolerance must be a number above 0, at most 100"),
        (lambda m: m["variants"][0].update(model="other.onnx"), "model must be one of its files"),
        (lambda m: m["variants"][0].update(files=["onnx/model.onnx"] * 2), "files must differ"),
        (lambda m: m["variants"][0].update(contract=[]), "manifest.variants[0].contract must be an object"),
        (lambda m: m.update(cases=m["cases"][:1]), "Manifest.cases must have 2 to 100 entries, got 1."),
        (
            lambda m: m["cases"][1].update(name="jpeg"),
            "Manifest.cases must differ from one another, got 'jpeg'.",
        ),
        (lambda m: m["cases"][0].update(picture="none.png"), "missing, got ['none.png']."),
        (lambda m: m["files"].pop(), "must list every file that the manifest names"),
        (lambda m: m["files"][0].update(bytes=-1), "bytes must be 0 to 4 GiB, got -1."),
        (lambda m: m["files"][0].update(bytes=2**40), "bytes must be 0 to 4 GiB, got 1099511627776."),
        (lambda m: m["files"][0].update(bytes=10**400), "within ±2^53"),
        (
            lambda m: m["files"][0].update(bytes=1.5),
            "manifest.files[0].bytes must be a whole number, got 1.5.",
        ),
        (lambda m: m["files"][0].update(sha256="F" * 64), "sha256 must be 64 hex digits"),
        (lambda m: [f.update(bytes=2**31) for f in m["files"]], "must have at most 4 GiB together"),
        (lambda m: m["files"].append(m["files"][0]), "Manifest.files must differ from one another"),
    ],
)
def test_an_impossible_manifest_is_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(BundleError) as error:
        Manifest.from_json(edited(change))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../up.bin",
        "a/../../up.bin",
        "a/./b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        "C:/a",
        "C:a",
        "a:stream",
        ".hidden",
        "a/.hidden",
        "dot.",
        "a b",
        "a\nb",
        "a\0b",
        "ä.bin",
        "~root",
        "x" * 201,
        "manifest.json",
    ],
)
def test_a_path_that_could_mean_another_file_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match=r"FileEntry\.path"):
        FileEntry(path, "0" * 64, 1)


def test_files_that_one_file_system_cannot_hold_together_are_refused() -> None:
    files = tiny_manifest().files
    for other in ("ONNX/model.onnx", "onnx"):
        with pytest.raises(BundleError, match=r"Manifest\.files must"):
            replace(tiny_manifest(), files=(*files, FileEntry(other, "0" * 64, 1)))


def test_counts_have_limits() -> None:
    manifest = tiny_manifest()
    many = tuple(FileEntry(f"f{number}", "0" * 64, 1) for number in range(10_001))
    with pytest.raises(BundleError, match="1 to 10,000 entries"):
        replace(manifest, files=many)
    with pytest.raises(BundleError, match="2 to 100,000 entries"):
        replace(manifest, classes=tuple(map(str, range(100_001))))
    with pytest.raises(BundleError, match="at most 16 MiB"):
        Manifest.from_json(" " * (16 * 2**20 + 1))


def test_free_fields_must_be_json_that_comes_back_equal() -> None:
    with pytest.raises(BundleError, match=r"Manifest\.provenance\.when must be a JSON value, got tuple"):
        replace(tiny_manifest(), provenance={"when": (1, 2)})
    with pytest.raises(BundleError, match=r"'onnx-fp32': contract\.drop must be a finite number, got nan"):
        tiny_variant("onnxruntime", contract={"drop": float("nan")})


def test_one_class_is_enough_for_multi_label() -> None:
    assert replace(tiny_manifest(), task="multi_label", classes=("scratch",)).classes == ("scratch",)


def test_a_variant_is_found_by_name_and_knows_its_size_and_logits() -> None:
    manifest = tiny_manifest()
    variant = manifest.variant("openvino-fp32")
    assert (variant.logits, manifest.size_bytes(variant)) == ("reference/logits/openvino-fp32.npy", 2)
    with pytest.raises(BundleError) as error:
        manifest.variant("int8")
    assert str(error.value) == "The bundle has no variant 'int8'; it has 'onnx-fp32', 'openvino-fp32'."


def test_a_case_without_a_usable_name_is_refused() -> None:
    with pytest.raises(BundleError, match=r"Case\.name"):
        Case("", "a", "b")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(value, key), *places(item)]]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_value_parses_to_just_what_it_says_or_is_refused(data: st.DataObject) -> None:
    value = deepcopy(VALUE)
    container, key = data.draw(st.sampled_from(places(value)))
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "replace":
        container[key] = data.draw(JSONS)
    elif action == "remove":
        del container[key]
    elif isinstance(container, dict):
        container[data.draw(st.text(max_size=5))] = data.draw(JSONS)
    else:
        container.insert(key, data.draw(JSONS))
    parses_or_refuses(json.dumps(value))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 20), st.text(max_size=5))
def test_a_mutated_text_parses_to_just_what_it_says_or_is_refused(
    start: int, length: int, insert: str
) -> None:
    parses_or_refuses(TEXT[:start] + insert + TEXT[start + length :])


def parses_or_refuses(text: str) -> None:
    try:
        manifest = Manifest.from_json(text)
    except BundleError:
        return
    assert json.loads(manifest.to_json()) == json.loads(text)
    assert Manifest.from_json(manifest.to_json()) == manifest
