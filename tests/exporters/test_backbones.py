"""Backbones of many families export with every answer the same in both engines."""

import pytest

from benchmarks.backbones import PICTURES, Row, check, page

QUICK = ("efficientnet_lite0", "timm/test_resnet", "timm/mobilenetv3_small_050")
FAMILIES = (
    *("torchvision/resnet18", "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small"),
    *("torchvision/mobilenet_v3_large", "torchvision/mnasnet0_5", "torchvision/shufflenet_v2_x0_5"),
    *("torchvision/squeezenet1_1", "torchvision/regnet_y_400mf", "torchvision/regnet_x_400mf"),
    *("torchvision/densenet121", "torchvision/efficientnet_b0", "torchvision/googlenet"),
    *("timm/resnet18", "timm/resnet26", "timm/resnet50", "timm/regnetx_002", "timm/regnety_002"),
    *("timm/mobilenetv2_100", "timm/mobilenetv2_050", "timm/mobilenetv1_100"),
    *("timm/mobilenetv4_conv_small", "timm/mobilenetv4_conv_medium", "timm/mobilenetv3_large_100"),
    *("timm/efficientnet_b0", "timm/efficientnet_b1", "timm/tf_efficientnet_lite1", "timm/tinynet_a"),
    *("timm/lcnet_050", "timm/lcnet_100", "timm/ghostnet_100", "timm/hardcorenas_a", "timm/fbnetc_100"),
    *("timm/semnasnet_075", "timm/spnasnet_100", "timm/mixnet_s", "timm/rexnet_100", "timm/dla34"),
    *("timm/repvgg_a0", "timm/convnext_atto", "timm/edgenext_xx_small", "timm/mobilevit_xxs"),
    *("timm/vit_tiny_patch16_224", "timm/deit_tiny_patch16_224"),
)


def agrees(name: str) -> None:
    found = check(name)
    assert found.problem == ""
    assert (found.onnxruntime, found.openvino) == (PICTURES, PICTURES)
    assert found.answers >= 3
    assert found.off < 2e-3


@pytest.mark.parametrize("name", QUICK)
def test_a_backbone_gives_the_same_answers_in_both_engines(name: str) -> None:
    agrees(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_forty_families_give_the_same_answers_in_both_engines(name: str) -> None:
    agrees(name)


def test_the_page_lists_what_agrees_and_the_reason_of_what_does_not() -> None:
    good = Row("a/good", 4_600_000, 224, "none", 24, 7, 24, 24, 1.2e-6)
    text = page([good, Row("b/bad", problem="no | such"), Row("c/large", 90_000_000, problem="too large")])
    assert "1 of 2 agree on every picture" in text
    assert "| a/good | 4.6 | 224 | random | 7 | 1e-06 |" in text
    assert "| b/bad | no / such |" in text
    assert "c/large" not in text
