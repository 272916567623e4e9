"""Tails: all the stages behind a boundary and the head, whatever the stages are called."""

import torch
from torch import nn

from edgetl.backbones import Backbone, create_backbone
from edgetl.tail import freeze, tail_from


def backbone_with_a_head() -> Backbone:
    """Make a network whose last stage, which has weights and ends in pooling, is called `head`."""
    backbone = create_backbone("timm/efficientvit_b0", weights="none").with_input(64, None)
    assert backbone.stages[-1].name == "head"
    return backbone


def test_a_stage_that_is_called_head_stays_in_the_tail() -> None:
    backbone = backbone_with_a_head()
    head = nn.Linear(backbone.width, 2)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = head(backbone.trunk()(images))
        for cut in (0, len(backbone.stages) - 1, len(backbone.stages)):
            tail = tail_from(backbone, cut, head)
            assert len(tail) == len(backbone.stages) - cut + 1
            assert torch.equal(tail(backbone.prefix(cut)(images)), answers), cut


def test_freezing_a_stage_that_is_called_head_freezes_it_alone() -> None:
    backbone = backbone_with_a_head()
    tail = tail_from(backbone, len(backbone.stages) - 1, nn.Linear(backbone.width, 2))
    freeze(tail, ["head"])
    stage, head = tail
    assert not any(parameter.requires_grad for parameter in stage.parameters())
    assert all(parameter.requires_grad for parameter in head.parameters())
