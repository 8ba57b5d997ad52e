"""GluonCV's model zoo by name, with DO-Conv inside; the networks of the paper's experiments.

Importing this module imports GluonCV, beside any torch.
"""

from __future__ import annotations

import re
from typing import Any

from doconv_core.model.planning import Where
from doconv_gluon.model.conversion import convert
from doconv_gluon.mxnet import import_gluoncv

gluoncv: Any = import_gluoncv()
resnetv1b: Any = gluoncv.model_zoo.resnetv1b

# What GluonCV's networks for other tasks have beside a classification network, by their names.
_AUXILIARY = re.compile(r"(auxlayer|out_aux)\b")
_HEADS = re.compile(
    r"""(auxlayer|out_aux|head|heads|last_layer|decoder|classifier|feature_fusion   # segmentation
    |psp_head|conv_sub\d|rpn|rpn_head|mask|class_features|newbox_features|box_features  # detection
    |class_predictors?|box_predictors?|transitions|yolo_blocks|yolo_outputs
    |duc\d|conv_out|deconv_layers|final_layer|upsampling                              # poses
    |base_network\.(deconv|dla_up|ida_up|upsampling)                                  # CenterNet
    |features\.(more_stages|extras|(\w+_)?expand_(trans_)?conv\d+|P\d_conv\w*)       # SSD, FPN
    )(\.|$)""",
    re.VERBOSE,
)


def get_model(name: str, *, where: Where | None = None, **kwargs: Any) -> Any:
    """A network of GluonCV's zoo, or "plain18", over-parameterized.

    Args:
        name: as ``gluoncv.model_zoo.get_model`` takes it, e.g. "resnet50_v1b" or
            "faster_rcnn_resnet50_v1b_voc"; or "plain18".
        where: as of :func:`doconv_gluon.convert`, e.g. :func:`backbone`,
            :func:`backbone_and_head`, or "layer4". None picks all.
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

    ``gluoncv.model_zoo.get_model`` does the same once this module is imported; without it, it fails
    beside NumPy 1.24 or later, and beside torch.

    Args:
        name: as for :func:`get_model`.
        **kwargs: ``gluoncv.model_zoo.get_model``'s.

    Example:
        >>> type(get_plain_model("resnet18_v1b")).__name__
        'ResNetV1b'
    """
    if name == "plain18":
        return plain18(**kwargs)
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
    """For ``where``: the classification network inside a network for another task.

    Right for every family of GluonCV's zoo; of a network of your own, for parts that are called
    as theirs are.
    """
    return _HEADS.match(name) is None


def backbone_and_head(name: str, layer: Any) -> bool:
    """For ``where``: everything that is used after training, so not an auxiliary head."""
    return _AUXILIARY.match(name) is None
