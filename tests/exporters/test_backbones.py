"""Backbones of many families export with every answer the same in both engines."""

from dataclasses import replace

import pytest

from benchmarks.backbones import _problem, check, photographs
from benchmarks.backbones_table import Row, page, read_page

PICTURES = 28

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
    found = check(name, PICTURES)
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


GOOD = Row("a/good", 4_600_000, 224, "none", 256, 7, 256, 256, 1e-06)


def test_the_page_lists_what_agrees_and_the_reason_of_what_does_not() -> None:
    text = page([GOOD, Row("b/bad", problem="no | such")], 9)
    assert "2 of 9 were tried; 1 of them agree on every picture" in text
    assert "| a/good | 4.6 | 224 | random | 256 | 7 | 1e-06 |" in text
    assert "| b/bad | no / such |" in text


def test_a_page_gives_its_rows_back_and_takes_others_in() -> None:
    rows = [GOOD, replace(GOOD, name="z/pretrained", weights="default"), Row("b/bad", problem="no")]
    found = read_page(page(rows, 3))
    assert found == {row.name: row for row in rows}
    found["b/bad"] = replace(GOOD, name="b/bad")
    again = page(list(found.values()), 3)
    assert "3 of 3 were tried; 3 of them agree" in again
    assert page(list(read_page(again).values()), 3) == again


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (GOOD, ""),
        (replace(GOOD, answers=2), "gives 2 different answers to 256 pictures: nothing is compared"),
        (replace(GOOD, openvino=255), "256 and 255 of 256 answers agree"),
        (replace(GOOD, off=5e-3), "logits are off by 5e-03 of their range"),
        (replace(GOOD, off=float("nan")), "logits are off by nan of their range"),
    ],
)
def test_a_row_tells_what_is_wrong(row: Row, problem: str) -> None:
    assert _problem(row) == problem


def test_the_pictures_are_different_squares_of_several_photographs() -> None:
    pictures = photographs(32, 21)
    assert pictures.shape == (21, 32, 32, 3)
    assert len({picture.tobytes() for picture in pictures}) == 21
