"""Pretrained networks without their classifiers, cut into stages, from three sources under one roof."""

from edgetl.backbones.backbone import Backbone, Native, Source, Stage
from edgetl.backbones.lite import imagenet_classifier
from edgetl.backbones.table import BackboneInfo, create_backbone, list_backbones
from edgetl.backbones.weights import state_id

__all__ = [
    "Backbone",
    "BackboneInfo",
    "Native",
    "Source",
    "Stage",
    "create_backbone",
    "imagenet_classifier",
    "list_backbones",
    "state_id",
]
