"""GluonCV's model zoo by name, with DO-Conv inside; the networks of the paper's experiments.

Importing this module imports GluonCV, beside any torch.
"""

from __future__ import annotations

from typing import Any

from doconv_core.model.planning import Where
from doconv_gluon.model.conversion import convert
from doconv_gluon.mxnet import import_gluoncv, numpy_aliases

gluoncv: Any = import_gluoncv()
resnetv1b: Any = gluoncv.model_zoo.resnetv1b

# First part of a layer's name in GluonCV's networks for segmentation and detection.
_HEADS = {"head", "auxlayer", "rpn", "class_predictor", "box_predictor"}
_TRAINING_ONLY = {"auxlayer"}


def get_model(name: str, *, where: Where | None = None, **kwargs: Any) -> Any:
    """A network of GluonCV's zoo, or "plain18", over-parameterized.

    Args:
        name: as ``gluoncv.model_zoo.get_model`` takes it, e.g. "resnet50_v1b" or
            "faster_rcnn_resnet50_v1b_voc"; or "plain18".
        where: ``where(name, layer)`` picks layers, e.g. :func:`backbone`,
            :func:`backbone_and_head`, or ``lambda name, layer: name.startswith("layer4")``.
            None picks all.
        **kwargs: ``gluoncv.model_zoo.get_model``'s: ``pretrained``, ``classes``, ``ctx``, ...

    Returns:
        The converted network. With pretrained weights it computes what GluonCV's does.

    Raises:
        ValueError: the zoo has no such network.

    Source: arXiv 2006.12030, section 4.

    Example:
        >>> net = get_model("mobilenet1.0", classes=10)
        >>> net.features[0]
        DOConv2D(None -> 32, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False, D_mul=9)
    """
    return convert(get_plain_model(name, **kwargs), where=where, inplace=True)


def get_plain_model(name: str, **kwargs: Any) -> Any:
    """The same network as GluonCV makes it; loads what a folded one has saved.

    ``gluoncv.model_zoo.get_model`` alone cannot build a Faster R-CNN with NumPy 1.24 or later.

    Args:
        name: as for :func:`get_model`.
        **kwargs: ``gluoncv.model_zoo.get_model``'s.

    Example:
        >>> type(get_plain_model("resnet18_v1b")).__name__
        'ResNetV1b'
    """
    if name == "plain18":
        return plain18(**kwargs)
    with numpy_aliases():
        return gluoncv.model_zoo.get_model(name, **kwargs)


def plain18(**kwargs: Any) -> Any:
    """ResNet-18 (v1b) without its shortcuts: the paper's Plain network.

    Args:
        **kwargs: of GluonCV's ``ResNetV1b``, e.g. ``classes``.

    Example:
        >>> any("down" in name for name in plain18().collect_params())
        False
    """
    return resnetv1b.ResNetV1b(PlainBlock, [2, 2, 2, 2], name_prefix="plain18_", **kwargs)


class PlainBlock(resnetv1b.BasicBlockV1b):
    """GluonCV's basic block without its shortcut."""

    def __init__(self, *args: Any, downsample: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """Two convolutions, each with batch norm and ReLU."""
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(x)))


def backbone(name: str, layer: Any) -> bool:
    """For ``where``: the classification network inside a network for another task."""
    return name.partition(".")[0] not in _HEADS


def backbone_and_head(name: str, layer: Any) -> bool:
    """For ``where``: everything that is used after training, so not an auxiliary head."""
    return name.partition(".")[0] not in _TRAINING_ONLY
