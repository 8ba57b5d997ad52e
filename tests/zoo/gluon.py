"""GluonCV's zoo: convert, train a step, fold, and load into the untouched network.

python -m tests.zoo.gluon REPORT [--only WORD] [--resume]

The report is a table of comma-separated values (:mod:`tests.zoo.report`). Nothing is downloaded.
The program fails where a row does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from doconv_gluon import convert, fold, summary
from doconv_gluon.layers.arrays import to_plain_layout
from doconv_gluon.model.walk import over_parameterized
from doconv_gluon.model_zoo import get_plain_model
from doconv_gluon.mxnet import mx
from tests.star.backends.backend_gluon import ndarray
from tests.zoo.examination import Zoo
from tests.zoo.report import main


class Network(NamedTuple):
    """A network of the zoo, not built yet.

    Attributes:
        name: GluonCV's.
        inputs: the shape of each.
        onednn: whether MXNet computes with oneDNN. With it MXNet 1.9.1 cannot train 3-D pooling
            ("Check failed: !is_view"), nor NASNet ("could not construct a sub-memory").
        part: what is taken of it; "" is all. A detector's own output depends on orders and
            thresholds, and its training on targets.
        more: arguments.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...] = ((2, 3, 64, 64),)
    part: str = ""
    more: dict[str, Any] = {}  # noqa: RUF012

    onednn: bool = True

    zoo = "gluoncv"

    def make(self) -> Any:
        """Without weights."""
        for options in ({"pretrained": False, "pretrained_base": False}, {}):
            try:
                net = get_plain_model(self.name, **options, **self.more)
                return _as_network(getattr(net, self.part)) if self.part else net
            except (TypeError, Warning):  # it has no such argument, which DarkNet says by a Warning
                continue
        raise ValueError(self.name)


def _as_network(part: Any) -> Any:
    """A graph saves names that another one cannot load, unless it is a child."""
    if not isinstance(part, mx.gluon.SymbolBlock):
        return part
    network = mx.gluon.nn.HybridSequential(prefix="")
    network.add(part)
    return network


def _of(
    names: str, *inputs: tuple[int, ...], part: str = "", onednn: bool = True, **more: Any
) -> list[Network]:
    inputs = inputs or ((2, 3, 64, 64),)
    return [Network(name, inputs, part, more, onednn) for name in names.split()]


NETWORKS = [
    *_of("resnet18_v1 resnet18_v1b resnet50_v1b_gn resnet50_v1c resnet50_v1d_0.11 resnet50_v1e"),
    *_of("resnet50_v1s resnet18_v2 resnext50_32x4d se_resnet18_v1 se_resnet18_v2"),
    *_of("se_resnext50_32x4d senet_154 resnest14 dla34 darknet53 xception"),
    *_of("mobilenet0.25 mobilenetv2_0.25 mobilenetv3_small shufflenet_v1"),
    *_of("shufflenet_v2 hrnet_w18_small_v1_c vgg11 vgg16_bn plain18"),
    *_of("residualattentionnet56", (1, 3, 224, 224)),
    *_of("alexnet densenet121 googlenet squeezenet1.0", (1, 3, 224, 224)),
    *_of("inceptionv3", (1, 3, 299, 299)),
    *_of("nasnet_4_1056", (1, 3, 299, 299), onednn=False),
    *_of("cifar_residualattentionnet56 cifar_resnet20_v1 cifar_resnet20_v2", (2, 3, 32, 32)),
    *_of("cifar_resnext29_16x64d cifar_wideresnet16_10", (1, 3, 32, 32)),
    # Segmentation.
    *_of("fcn_resnet50_voc deeplab_resnet50_ade", crop_size=64),
    *_of("deeplab_resnest50_ade", (2, 3, 224, 224), crop_size=224),
    *_of("psp_resnet50_ade icnet_resnet50_citys danet_resnet50_citys", crop_size=64),
    *_of("deeplab_v3b_plus_wideresnet_citys", (1, 3, 64, 64), crop_size=64),
    *_of("fastscnn_citys", crop_size=64),
    *_of("hrnet_w18_small_v1_s"),
    # Detection.
    *_of("faster_rcnn_resnet50_v1b_voc doublehead_rcnn_resnet50_v1b_voc", part="features"),
    *_of("faster_rcnn_fpn_resnet50_v1b_coco mask_rcnn_resnet18_v1b_coco", part="features"),
    *_of("mask_rcnn_fpn_resnet18_v1b_coco ssd_512_resnet18_v1_voc", part="features"),
    *_of("ssd_512_mobilenet1.0_voc ssd_300_mobilenet1.0_lite_coco", part="features"),
    *_of("ssd_300_resnet34_v1b_voc ssd_300_vgg16_atrous_voc", (1, 3, 300, 300), part="features"),
    *_of("yolo3_darknet53_voc yolo3_mobilenet0.25_voc", part="stages"),
    *_of("center_net_dla34_voc center_net_dla34_dcnv2_voc", part="base_network"),
    *_of("center_net_resnet18_v1b_voc", (1, 3, 64, 64), part="base_network"),
    *_of("center_net_mobilenetv3_large_duc_voc", (1, 3, 64, 64), part="base_network"),
    # Poses, depth, tracking.
    *_of("simple_pose_resnet18_v1b mobile_pose_mobilenet1.0 alpha_pose_resnet101_v1b_coco"),
    *_of("monodepth2_resnet18_kitti_stereo_640x192", (1, 3, 192, 640)),
    *_of("monodepth2_resnet18_posenet_kitti_mono_640x192", (1, 6, 192, 640)),
    *_of("siamrpn_alexnet_v2_otb15", (1, 3, 127, 127), (1, 3, 287, 287)),
    # Videos.
    *_of("c3d_kinetics400", (1, 3, 16, 112, 112)),
    *_of("i3d_inceptionv1_kinetics400 i3d_inceptionv3_kinetics400", (1, 3, 32, 224, 224),
         onednn=False),
    *_of("i3d_resnet50_v1_kinetics400 i3d_nl5_resnet50_v1_kinetics400", (1, 3, 16, 64, 64),
         onednn=False),
    *_of("p3d_resnet50_kinetics400 r2plus1d_resnet18_kinetics400", (1, 3, 16, 112, 112),
         onednn=False),
    *_of("slowfast_4x16_resnet50_kinetics400", (1, 3, 36, 64, 64), onednn=False),
]  # fmt: skip


class GluonCV(Zoo):
    """How GluonCV's networks are run, trained and saved."""

    packages = ("mxnet", "gluoncv", "numpy")

    def networks(self, given: Any) -> Iterable[Network]:
        return NETWORKS

    def make(self, network: Network) -> Any:
        if not network.onednn:
            os.environ["MXNET_MKLDNN_ENABLED"] = "0"  # of the network's own process
        return network.make()

    def inputs(self, network: Network, model: Any, random: np.random.Generator) -> Any:
        return [ndarray(random.normal(size=shape).astype(np.float32)) for shape in network.inputs]

    def randomize(self, model: Any, random: np.random.Generator) -> None:
        model.collect_params(".*gamma").setattr("init", "ones")
        mx.random.seed(0)
        # GluonCV's graphs take no other initializer than the default one.
        graphs = any(isinstance(each, mx.gluon.SymbolBlock) for each in model._children.values())
        model.initialize(mx.init.Uniform() if graphs else mx.init.Xavier(), force_reinit=True)

    def run(self, model: Any, x: Any) -> list[np.ndarray]:
        return [y.asnumpy() for y in _forward(model, x)]

    def train(self, network: Network, model: Any, x: Any) -> None:
        random = np.random.default_rng(1)
        trainer = mx.gluon.Trainer(model.collect_params(), "sgd", {"learning_rate": 1e-4})
        with mx.autograd.record():
            loss = sum(
                (y * ndarray(random.normal(size=y.shape).astype(np.float32))).mean()
                for y in _forward(model, x)
            )
        loss.backward()
        trainer.step(1, ignore_stale_grad=True)
        mx.nd.waitall()

    def convert(self, network: Network, model: Any, row: Any) -> Any:
        return convert(model)

    def fold(self, model: Any) -> Any:
        return fold(model)

    def summary(self, model: Any) -> Any:
        return summary(model)

    def pairs(self, model: Any) -> list[tuple[Any, Any]]:
        return [(layer.weight, layer.D) for layer in over_parameterized(model).values()]

    def variables(self, model: Any) -> list[Any]:
        every = model.collect_params().values()
        return [each for each in every if mx.gluon.utils.shape_is_known(each.shape)]

    def read(self, variable: Any) -> np.ndarray:
        return variable.data().asnumpy()

    def write(self, variable: Any, value: np.ndarray) -> None:
        to_plain_layout(variable)
        variable.set_data(ndarray(value.astype(np.float32)))

    def reload(self, network: Network, folded: Any, folder: str) -> Any:
        path = str(Path(folder, "folded.params"))
        folded.save_parameters(path)
        untouched = network.make()
        untouched.load_parameters(path)  # strictly
        return untouched


def _forward(net: Any, x: list[Any]) -> list[Any]:
    if type(net) is mx.gluon.nn.HybridSequential and len(x) == 1:  # YOLO's stages, each an output
        outputs = list(accumulate(net, lambda y, stage: stage(y), initial=x[0]))[1:]
    else:
        outputs = net(*x)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [each for each in _flat(outputs) if isinstance(each, mx.nd.NDArray)]


def _flat(outputs: Any) -> list[Any]:
    if not isinstance(outputs, (list, tuple)):
        return [outputs]
    return [each for output in outputs for each in _flat(output)]


if __name__ == "__main__":
    sys.exit(main(GluonCV(), __doc__))
