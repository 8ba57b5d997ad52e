"""What is a backbone in GluonCV's zoo: a table over its families, and the paper's detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doconv_gluon import convert, fold, summary
from doconv_gluon.model.walk import over_parameterized
from doconv_gluon.model_zoo import backbone, backbone_and_head, get_model, get_plain_model
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import nn, sgd
from tests.star.backends.backend_gluon import ndarray

pytestmark = [
    # MXNet's own: of SymbolBlocks; of mx.nd.array beside a recent SciPy; of target encoders.
    pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments"),
    pytest.mark.filterwarnings("ignore:Please import `csr_matrix` from:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Parameter normalizedperclassboxcenterencoder"),
]

# Convolutions with more than one kernel element: in the backbone, in the rest.
BACKBONES = {
    "alpha_pose_resnet101_v1b_coco": (34, 3),
    "c3d_kinetics400": (8, 0),
    "center_net_dla34_voc": (27, 27),
    "center_net_mobilenetv3_large_duc_voc": (16, 6),
    "center_net_resnet18_v1b_voc": (17, 9),
    "danet_resnet50_citys": (19, 4),
    "deeplab_resnet50_ade": (19, 5),
    "deeplab_v3b_plus_wideresnet_citys": (33, 5),
    "doublehead_rcnn_resnet50_v1b_voc": (17, 3),
    "faster_rcnn_fpn_resnet50_v1b_coco": (17, 6),
    "faster_rcnn_resnet50_v1b_voc": (17, 1),
    "fastscnn_citys": (12, 4),
    "fcn_resnet50_voc": (19, 2),
    "googlenet": (20, 0),
    "hrnet_w18_small_v1_c": (65, 0),
    "hrnet_w18_small_v1_s": (58, 0),
    "icnet_resnet50_citys": (19, 6),
    "mask_rcnn_fpn_resnet18_v1b_coco": (17, 9),
    "mask_rcnn_resnet18_v1b_coco": (17, 2),
    "mobile_pose_mobilenet1.0": (14, 3),
    "mobile_pose_resnet18_v1b": (17, 3),
    "monodepth2_resnet18_kitti_stereo_640x192": (17, 14),
    "monodepth2_resnet18_posenet_kitti_mono_640x192": (17, 2),
    "nasnet_4_1056": (161, 1),
    "psp_resnet50_ade": (19, 2),
    "siamrpn_alexnet_v2_otb15": (5, 4),
    "simple_pose_resnet18_v1b": (17, 3),
    "ssd_300_mobilenet1.0_lite_coco": (14, 4),
    "ssd_300_resnet34_v1b_voc": (33, 16),
    "ssd_300_vgg16_atrous_voc": (14, 16),
    "ssd_512_mobilenet1.0_voc": (14, 16),
    "ssd_512_resnet18_v1_voc": (17, 16),
    "yolo3_darknet53_voc": (29, 9),
    "yolo3_mobilenet0.25_voc": (14, 9),
}


def untrained(name: str) -> Any:
    """Without weights, which would be downloaded."""
    try:
        return get_plain_model(name, pretrained=False, pretrained_base=False)
    except TypeError:  # it has no such argument
        return get_plain_model(name)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_a_classification_network(name: str) -> None:
    names = [row.name for row in summary(untrained(name)) if (row.K or 0) > 1]
    chosen = [each for each in names if backbone(each, None)]
    assert (len(chosen), len(names) - len(chosen)) == BACKBONES[name]


def test_an_auxiliary_head_is_not_used_after_training() -> None:
    names = [row.name for row in summary(untrained("fcn_resnet50_voc")) if (row.K or 0) > 1]
    left = [each for each in names if not backbone_and_head(each, None)]
    assert left == ["auxlayer.block.0"]


def test_a_network_without_a_backbone_is_warned_about() -> None:
    net = nn.HybridSequential()
    net.head = nn.Conv2D(3, 3)
    with pytest.warns(UserWarning, match="found no convolution to over-parameterize"):
        convert(net, where=backbone)


# --- detectors whose backbone is a graph ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [("ssd_512_resnet18_v1_voc", 128, 17), ("faster_rcnn_fpn_resnet50_v1b_coco", 64, 17)],
    ids=["ssd", "fpn"],
)
def test_detectors_have_DO_Conv_in_their_backbones(name: str, size: int, layers: int) -> None:
    net = get_model(name, where=backbone, pretrained=False, pretrained_base=False)
    assert len(summary(net).converted) == layers
    features, x = net.features, ndarray(np.ones((1, 3, size, size), np.float32))
    net.initialize()  # GluonCV's graphs take no other initializer
    features(x)
    rng = np.random.default_rng(0)
    with mx.autograd.record():
        ys = features(x)
        loss = sum((y * ndarray(rng.normal(size=y.shape).astype(np.float32))).sum() for y in ys)
    loss.backward()
    sgd(features).step(1, ignore_stale_grad=True)
    for path, layer in over_parameterized(features).items():
        assert layer.D.data().asnumpy().any(), path
    expected = [y.asnumpy() for y in features(x)]
    plain = fold(net)
    assert type(plain.features) is type(untrained(name).features)
    for ours, theirs in zip(plain.features(x), expected, strict=True):
        assert abs(ours.asnumpy() - theirs).max() <= 1e-5 * abs(theirs).max()
    assert not any(each.endswith("_D") for each in plain.features.collect_params())
