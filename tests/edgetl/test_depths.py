"""`:depths` behind a backbone's name: the features of all its stages, trained and exported like any other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from edgetl_factories import colour_folder, tiny_backbone

from edgetl.backbones import create_backbone
from edgetl.backbones.depths import Boundary, Carried, Layout, all_depths, widths
from edgetl.dataset import load_dataset
from edgetl.frozen import FrozenStages
from edgetl.recipe import Recipe
from edgetl.run import read_backbone, read_module, read_run
from edgetl.training import train
from edgetl_runtime.errors import InputError

NAME = "timm/test_efficientnet"


def test_the_last_of_its_features_are_those_of_the_network_and_the_first_those_of_the_first_stage() -> None:
    plain = create_backbone(NAME, weights="none", seed=3)
    deep = create_backbone(NAME + ":depths", weights="none", seed=3)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = deep.trunk()(images)
        first = plain.prefix(1)(images).mean(dim=(2, 3))
        assert features.shape == (2, deep.width)
        assert torch.equal(features[:, -plain.width :], plain.trunk()(images))
        assert torch.equal(features[:, : first.shape[1]], first)
    assert deep.weights_id != plain.weights_id
    assert deep.name == NAME + ":depths"


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("channels_first", (2, 5, 4, 4)),
        ("channels_last", (2, 4, 4, 5)),
        ("tokens", (2, 9, 5)),
        ("flat", (2, 5)),
    ],
)
@pytest.mark.parametrize("width", [0, 3])
def test_what_is_packed_into_rows_is_unpacked_bit_for_bit(
    layout: Layout, shape: tuple[int, ...], width: int
) -> None:
    before = (torch.randn(2, width),) if width else ()
    carried = Carried(before, torch.randn(shape))
    boundary = Boundary(layout, 5, width)
    rows = boundary.pack(carried)
    assert rows.shape == (2, width + carried.now[0].numel())
    found = boundary.unpack(rows)
    assert torch.equal(found.now, carried.now)
    assert all(torch.equal(one, other) for one, other in zip(found.before, before, strict=True))
    assert boundary.pool(carried.now).shape == (2, 5)


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_vit", "swin_t", "densenet121"])
def test_a_network_cut_at_any_boundary_gives_the_same_features(name: str) -> None:
    deep = create_backbone(f"{name}:depths", weights="none", seed=3)
    size = deep.native.size
    images = torch.randint(256, (2, size, size, 3), dtype=torch.uint8)
    cuts = tuple(range(1, len(deep.stages), 3))
    with torch.no_grad():
        frozen = FrozenStages(deep, cuts).eval()
        *boundaries, features = frozen(images)
        *shapes, _ = frozen.shapes(size)
        assert features.shape == (2, deep.width)
        assert sum(widths(deep)) == deep.width
        for cut, rows, shape in zip(cuts, boundaries, shapes, strict=True):
            assert rows.shape[1:] == shape
            assert torch.allclose(deep.suffix(cut)(rows), features, atol=1e-5)


def test_a_network_of_one_piece_has_no_depths() -> None:
    backbone = tiny_backbone()
    with pytest.raises(InputError, match="one piece"):
        all_depths(replace(backbone, stages=backbone.stages[:1]))


def test_a_run_on_all_depths_is_read_back_and_tuned_step_by_step(tmp_path: Path) -> None:
    dataset = load_dataset(colour_folder(tmp_path / "pictures"))
    recipe = Recipe(backbone=NAME + ":depths", weights="none", unfreeze=(2, 6), size=32, crop=1.0, epochs=1)
    run = train(dataset, replace(recipe, learning_rate=1e-3), tmp_path / "run")
    assert [step["name"] for step in run.steps] == ["head", "last 2 stages", "last 6 stages"]
    assert read_run(tmp_path / "run").backbone == NAME + ":depths"
    assert read_backbone(tmp_path / "run").width == run.width
    logits = read_module(tmp_path / "run")(torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, len(run.classes))
