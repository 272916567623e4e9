"""Frozen features: what OpenVINO computes is what torch computes, once for each picture and view."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgetl_factories import colour_picture, see_numbers, tiny_backbone
from numpy.typing import NDArray
from PIL import Image

from edgetl import extraction, forward
from edgetl.backbones import Backbone, create_backbone
from edgetl.cache import Rows
from edgetl.features import PLAIN, VIEWS, Extractor, View
from edgetl.forward import Precision, fast_precision, on_openvino
from edgetl.frozen import FrozenStages
from edgetl_runtime.environment import read_environment
from edgetl_runtime.errors import InputError, PictureError
from edgetl_runtime.pictures import Picture

HFLIP = VIEWS["hflip"][1]


@pytest.fixture(autouse=True)
def empty_cache(own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def network() -> Backbone:
    return tiny_backbone()


COMPILED: dict[tuple[object, ...], Any] = {}


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the stages of the tiny network once for each choice of boundaries: it takes a second."""
    compile_stages = on_openvino.compile_stages

    def remembered(module: FrozenStages, size: int, precision: Precision, device: str) -> Any:
        key = (id(module.stages[0]), module.cuts, size, precision)
        if key not in COMPILED:
            COMPILED[key] = module, compile_stages(module, size, precision, device)
        return COMPILED[key][1]

    monkeypatch.setattr(on_openvino, "compile_stages", remembered)


def pictures(folder: Path, count: int = 5) -> list[Picture]:
    colours = ("red", "green", "blue")
    return [colour_picture(folder / f"{n}.png", colours[n % 3], n) for n in range(count)]


def extractor(backbone: Backbone, *cuts: int) -> Extractor:
    return Extractor(backbone, backbone.native.preprocess(), cuts or (1,), "f32")


def taken(rows: Rows) -> NDArray[np.float16]:
    return rows.take(np.arange(len(rows)))


def normalised(backbone: Backbone, given: Sequence[Picture], view: View = PLAIN) -> torch.Tensor:
    """Preprocess and normalise in numpy, as a reader of the design would."""
    preprocess, native = backbone.native.preprocess(), backbone.native
    images = view(np.stack([preprocess(one.path) for one in given]))
    scaled = (images / 255 - np.array(native.mean)) / np.array(native.std)
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))


def of_torch(backbone: Backbone, given: Sequence[Picture], view: View = PLAIN) -> NDArray[np.float32]:
    with torch.no_grad():
        return backbone.trunk()(normalised(backbone, given, view)).numpy()


def told(
    found: Extractor, given: Sequence[Picture], views: Sequence[View] = (PLAIN,)
) -> list[tuple[int, int]]:
    """Return the progress that a call tells: nothing when nothing is computed."""
    heard: list[tuple[int, int]] = []
    found(given, views, lambda *now: heard.append(now))
    return heard


def test_features_and_boundaries_of_the_default_network_are_those_of_torch(tmp_path: Path) -> None:
    random = create_backbone("efficientnet_lite0", weights="none")
    backbone = replace(random, native=replace(random.native, size=64))
    given = pictures(tmp_path, 19)  # A whole batch and a part of one.
    see_numbers(backbone.trunk(), normalised(backbone, given))
    found = extractor(backbone, 3, 7)(given, [PLAIN])
    expected = of_torch(backbone, given)
    assert expected.std(axis=0).mean() > 0.05
    assert np.allclose(taken(found.features[0]), expected, atol=1e-3, rtol=1e-3)
    for cut, (rows,) in found.boundaries.items():
        with torch.no_grad():
            before = backbone.prefix(cut)(normalised(backbone, given)).numpy()
            continued = backbone.suffix(cut)(torch.from_numpy(taken(rows).astype(np.float32))).numpy()
        assert np.allclose(taken(rows), before, atol=2e-3, rtol=2e-3), cut
        assert np.abs(continued - expected).mean() < 0.005, cut
    assert list(found.boundaries) == [3, 7]


def test_pictures_in_any_order_get_their_own_features(network: Backbone, tmp_path: Path) -> None:
    given = pictures(tmp_path)
    ask = extractor(network)
    ask(given[3:], [PLAIN])
    order = [given[n] for n in (4, 0, 2, 0, 3)]
    found = taken(ask(order, [PLAIN]).features[0])
    assert np.allclose(found, of_torch(network, order), atol=1e-3)
    assert np.array_equal(found[1], found[3])


def test_a_picture_twice_in_the_list_is_computed_once(network: Backbone, tmp_path: Path) -> None:
    first, second = pictures(tmp_path, 2)
    copy = replace(first, path=tmp_path / "copy.png")  # Known by its bytes: the file is not even opened.
    assert told(extractor(network), [first, copy, second, first]) == [(2, 2)]
    found = extractor(network)([first, copy, second, first], [PLAIN]).features[0]
    assert len(found) == 4


def test_the_second_call_computes_nothing(network: Backbone, tmp_path: Path) -> None:
    given = pictures(tmp_path)
    assert told(extractor(network), given) == [(5, 5)]
    assert told(extractor(network), given) == []
    assert told(extractor(network), [*given, *pictures(tmp_path, 6)]) == [(1, 1)]


def test_cached_rows_need_neither_the_file_nor_a_compiled_network(
    network: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pictures(tmp_path)
    first = extractor(network)(given, [PLAIN])
    for one in given:
        one.path.unlink()
    monkeypatch.delattr(on_openvino, "compile_stages")
    again = extractor(network)(given, [PLAIN])
    assert np.array_equal(taken(again.features[0]), taken(first.features[0]))
    assert np.array_equal(taken(again.boundaries[1][0]), taken(first.boundaries[1][0]))


def test_what_another_process_computed_meanwhile_is_not_computed_again(
    network: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, look = pictures(tmp_path), extraction.Wanted.missing
    others = [extractor(network)]

    def look_and_be_overtaken(*arguments: object) -> list[Picture]:
        found = look(*arguments)
        if others:
            others.pop()(given, [PLAIN])
        return found

    monkeypatch.setattr(extraction.Wanted, "missing", look_and_be_overtaken)
    assert told(extractor(network), given) == []


def test_views_are_mirrored_to_the_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    found = {view.name: view(images) for view in VIEWS["flips"]}
    assert list(found) == ["plain", "hflip", "vflip", "hvflip"]
    assert np.array_equal(found["plain"], images)
    assert np.array_equal(found["hflip"], np.flip(images, 2))
    assert np.array_equal(found["vflip"], np.flip(images, 1))
    assert np.array_equal(found["hvflip"], np.flip(images, (1, 2)))
    assert VIEWS["none"] == VIEWS["hflip"][:1] == (PLAIN,)


def test_a_view_has_the_features_of_the_mirrored_picture(network: Backbone, tmp_path: Path) -> None:
    given = pictures(tmp_path)
    found = extractor(network)(given, VIEWS["flips"])
    for number, view in enumerate(VIEWS["flips"]):
        expected = of_torch(network, given, view)
        assert np.allclose(taken(found.features[number]), expected, atol=1e-3)
        mirrored = view(np.stack([network.native.preprocess()(one.path) for one in given]))
        paths = [tmp_path / f"{view.name}-{n}.png" for n in range(len(given))]
        for path, pixels in zip(paths, mirrored, strict=True):
            Image.fromarray(pixels).save(path)
        kept = [Picture(path, hashlib.sha256(path.read_bytes()).hexdigest(), ()) for path in paths]
        turned = extractor(network)(kept, [PLAIN])
        assert np.array_equal(taken(turned.boundaries[1][0]), taken(found.boundaries[1][number]))
    plain, flipped = (taken(found.features[n]) for n in (0, 1))
    assert not np.allclose(plain, flipped, atol=1e-3)


def test_rows_are_kept_apart_by_everything_that_they_depend_on(network: Backbone, empty_cache: Path) -> None:
    native = network.native
    ask = {
        "as it is": (network, native.preprocess(), "f32"),
        "size": (network, replace(native, size=64).preprocess(), "f32"),
        "crop": (network, replace(native, crop=0.5).preprocess(), "f32"),
        "filter": (network, replace(native, filter="box").preprocess(), "f32"),
        "precision": (network, native.preprocess(), "bf16"),
        "weights": (replace(network, weights_id="0" * 64), native.preprocess(), "f32"),
        "mean": (replace(network, native=replace(native, mean=(0, 0, 0))), native.preprocess(), "f32"),
        "std": (replace(network, native=replace(native, std=(1, 1, 1))), native.preprocess(), "f32"),
    }
    seen: set[str] = set()
    for what, (backbone, preprocess, precision) in ask.items():
        Extractor(backbone, preprocess, [2], precision)([], [PLAIN, HFLIP])
        stores = {path.name for path in (empty_cache / "activations").iterdir()}
        assert len(stores - seen) == 4, what  # A boundary and the features, of two views.
        seen = stores
    Extractor(network, native.preprocess(), [2], "f32")([], [PLAIN, HFLIP])
    assert {path.name for path in (empty_cache / "activations").iterdir()} == seen


def test_seeds_and_weights_have_rows_of_their_own() -> None:
    assert tiny_backbone(0).weights_id == tiny_backbone(0).weights_id != tiny_backbone(1).weights_id


def test_a_picture_that_cannot_be_read_stops_the_work_and_keeps_what_was_done(
    network: Backbone, tmp_path: Path
) -> None:
    given = pictures(tmp_path, 20)
    given[17].path.write_bytes(b"")
    with pytest.raises(PictureError, match=r"17\.png"):
        told(extractor(network), given)
    given[17] = colour_picture(tmp_path / "17.png", "red", 17)
    assert told(extractor(network), given) == [(4, 4)]


@pytest.mark.parametrize("value", [65_520.0, -1e6, np.inf, np.nan])
def test_activations_that_the_cache_cannot_hold_are_refused(value: float) -> None:
    batch = [Picture(Path(f"{n}.png"), f"{n:064x}", ()) for n in range(3)]
    rows = np.full((3, 2, 2), 65_504, np.float32)
    assert extraction._halved(rows, batch).tolist() == rows.tolist()
    rows[1, 0, 1] = value
    with pytest.raises(InputError, match=r"activations above 65,504, or none, for '1\.png'"):
        extraction._halved(rows, batch)


def test_a_boundary_before_all_stages_is_the_normalised_picture(network: Backbone, tmp_path: Path) -> None:
    given = pictures(tmp_path)
    preprocess = network.native.preprocess()
    images = torch.from_numpy(np.stack([preprocess(one.path) for one in given]))
    with torch.no_grad():
        outputs = FrozenStages(network, [0, 2])(images)
    assert len(outputs) == 3
    assert torch.allclose(outputs[0], normalised(network, given), atol=1e-5)
    assert torch.equal(outputs[1], network.prefix(2)(outputs[0]))
    assert torch.equal(outputs[2], network.suffix(2)(outputs[1]))


HAS_BF16 = "avx512_bf16" in read_environment().flags


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16")
def test_bf16_gives_the_features_of_f32_to_its_rounding(network: Backbone, tmp_path: Path) -> None:
    given = pictures(tmp_path)
    exact = taken(Extractor(network, network.native.preprocess(), (), "f32")(given, [PLAIN]).features[0])
    fast = taken(Extractor(network, network.native.preprocess(), (), "bf16")(given, [PLAIN]).features[0])
    errors = np.abs(fast.astype(np.float32) - exact)
    assert 0 < errors.max() < 0.05 * np.abs(exact).max()  # 8 bits of mantissa, a few layers deep.


def test_torch_gives_the_rows_that_openvino_gives(network: Backbone, tmp_path: Path) -> None:
    given, preprocess = pictures(tmp_path, 19), network.native.preprocess()
    expected = Extractor(network, preprocess, (1,), "f32", "openvino")(given, VIEWS["hflip"])
    found = Extractor(network, preprocess, (1,), "f32", "torch-cpu")(given, VIEWS["hflip"])
    for ours, theirs in zip(found.features, expected.features, strict=True):
        assert np.allclose(taken(ours), taken(theirs), atol=1e-3)
    for ours, theirs in zip(found.boundaries[1], expected.boundaries[1], strict=True):
        assert np.allclose(taken(ours), taken(theirs), atol=2e-3)


def test_rows_of_torch_and_of_openvino_are_kept_apart(network: Backbone, empty_cache: Path) -> None:
    for name in ("openvino", "torch-cpu"):
        Extractor(network, network.native.preprocess(), (), "f32", name)([], [PLAIN])
    assert len(list((empty_cache / "activations").iterdir())) == 2


def test_torch_in_bf16_rounds_and_agrees(network: Backbone, tmp_path: Path) -> None:
    given, preprocess = pictures(tmp_path), network.native.preprocess()
    fast = taken(Extractor(network, preprocess, (), "bf16", "torch-cpu")(given, [PLAIN]).features[0])
    expected = of_torch(network, given)
    assert 0 < np.abs(fast - expected).max() < 0.05 * np.abs(expected).max()


def test_the_next_network_of_the_same_input_reads_pixels(
    network: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetl.decoded._DEAR_S", 0.0)
    given, other = pictures(tmp_path), replace(network, weights_id="0" * 64)
    first = taken(extractor(network)(given, [PLAIN]).features[0])
    for one in given:
        one.path.unlink()
    assert np.array_equal(taken(extractor(other)(given, [PLAIN]).features[0]), first)


def test_pixels_evict_no_rows(
    network: Backbone, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetl.decoded._DEAR_S", 0.0)
    monkeypatch.setenv("EDGETL_CACHE_GB", "0")
    extractor(network)(pictures(tmp_path), [PLAIN])
    assert list((empty_cache / "activations").glob("pixels-*")) == []


def test_old_rows_make_room_for_new_ones(
    network: Backbone, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETL_CACHE_GB", "0")
    given = pictures(tmp_path)
    told(extractor(network, 1), given)
    assert told(extractor(network, 1), given) == []  # Nothing else was written meanwhile.
    kept = extractor(network, 2)(given, [PLAIN])  # The features are shared, the boundary 1 goes.
    assert taken(kept.features[0]).shape == (5, network.width)
    after = {json.loads(path.read_text())["after"] for path in empty_cache.glob("activations/*/store.json")}
    assert after == {2, "features"}


@pytest.mark.parametrize(
    ("flags", "precision"),
    [(("avx512f", "avx512_vnni"), "f32"), (("avx512_bf16",), "bf16"), (("amx_bf16",), "bf16"), ((), "f32")],
)
def test_bf16_is_for_processors_that_have_it(
    flags: tuple[str, ...], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(read_environment(), flags=flags)
    monkeypatch.setattr(forward, "read_environment", lambda: machine)
    assert fast_precision("openvino") == precision


def test_a_network_is_converted_once_for_both_precisions_and_another_one_anew(
    network: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    seen, convert = list[Any](), openvino.convert_model
    monkeypatch.setattr(openvino, "convert_model", lambda program: seen.append(convert(program)) or seen[-1])
    stages, other = FrozenStages(network, (1,)).eval(), FrozenStages(tiny_backbone(1), (1,)).eval()
    for module, size, count in ((stages, 32, 1), (stages, 32, 1), (stages, 64, 2), (other, 64, 3)):
        on_openvino.converted(module, size)
        assert len(seen) == count
    assert on_openvino.converted(FrozenStages(tiny_backbone(1), (1,)).eval(), 64) is seen[2]
