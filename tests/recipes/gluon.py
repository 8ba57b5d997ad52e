"""The Gluon recipes run as their user runs them, on tiny data: what the tests of them share."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from doconv_gluon.model_zoo import get_plain_model, gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon import classification, common, detection, segmentation
from examples.gluon.pyramid import on_cpus
from examples.gluon.settings import DETECTORS
from tests.recipes.data import cifar, cityscapes, coco, imagefolder, recordio, voc

STEPS, SAVED = 3, 2
"""Of a run; after which of them, in the midst of an epoch, an interrupted one has saved."""


class Case(NamedTuple):
    """A recipe, its data and its options."""

    recipe: ModuleType
    write: Callable[[Path], Any]
    network: str
    options: str

    def arguments(self, data: Path, output: Path, more: str = "") -> list[str]:
        said = f"--network {self.network} --data {data} --output {output} --workers 0 "
        said += f"--batch-size 2 --steps {STEPS} --evaluate-every 0 {self.options} {more}"
        return said.split()

    def run(self, data: Path, output: Path, more: str = "") -> dict[str, Any]:
        """What the results line says."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.recipe.main(self.arguments(data, output, more))
        return dict(json.loads(said.getvalue().splitlines()[-1]))


def _write_vocs(root: Path) -> None:
    for year in (2007, 2012):
        voc.write(root, images=3, year=year)


def _write_cifar(root: Path) -> None:
    archives = root.with_name("archives")
    cifar.write(archives, images=2)
    (archives / "cifar-10-batches-bin").rename(root)


SMALL = "--input-size 32 --dtype float32"
CROP = "--base-size 40 --crop-size 32"
CASES = {
    "classification, RecordIO": Case(
        classification, lambda root: recordio.write(root, images=6), "mobilenetv3_small", SMALL
    ),
    # An image is left over from its first epoch.
    "segmentation, VOC": Case(
        segmentation, lambda root: voc.write(root, images=3), "fcn_resnet50_voc", CROP
    ),
    "detection, VOC": Case(detection, _write_vocs, "faster_rcnn_tiny_voc", "--short 64"),
}
"""One of each recipe."""
MORE = {
    "classification, folders": Case(classification, imagefolder.write, "resnet18_v1", SMALL),
    "classification, CIFAR": Case(
        classification, _write_cifar, "cifar_resnet20_v1", "--do-conv backbone"
    ),
    "segmentation, Cityscapes": Case(
        segmentation, lambda root: cityscapes.write(root, images=3), "psp_resnet50_citys", CROP
    ),
    "detection, COCO": Case(
        detection,
        lambda root: coco.write(root, images=6),
        "faster_rcnn_fpn_tiny_coco",
        "--short 64",
    ),
}
"""The other data, and the other options."""
ALL = {**CASES, **MORE}


class Interrupted(BaseException):
    """What a test stops a run with."""


def interrupt(case: Case, data: Path, output: Path, patch: pytest.MonkeyPatch) -> None:
    """Run until the last step, and end in the midst of it, one step after the last checkpoint."""
    step, calls = mx.gluon.Trainer.step, [0]

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == STEPS:
            raise Interrupted
        return step(self, *arguments, **options)

    with patch.context() as inner:
        inner.setattr(mx.gluon.Trainer, "step", counted)
        with pytest.raises(Interrupted):
            case.run(data, output, f"--save-every {SAVED}")


def arrays(path: str | Path) -> dict[str, np.ndarray]:
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def evaluated(case: Case, data: Path, output: Path, path: str) -> dict[str, float]:
    """What GluonCV's own network of that name gives, having loaded the file strictly."""
    parser = common.options_of("", case.recipe.networks())
    for name in ("--dtype", "--base-size", "--crop-size", "--input-size", "--short"):
        parser.add_argument(name, type=str if name == "--dtype" else int)
    options = common.parsed(parser, case.arguments(data, output))
    contexts = common.devices(options)
    return LOADED[case.recipe](case, options, path, contexts)


def _classified(case: Case, options: Any, path: str, contexts: Any) -> dict[str, float]:
    small = case.network.startswith("cifar")
    images = (classification.cifar10 if small else classification.imagenet)(options, 2)[1]
    net = gluoncv.model_zoo.get_model(case.network, classes=10 if small else 1000)
    net.load_parameters(path)
    return classification.evaluate(net, images, contexts, "float32")


def _segmented(case: Case, options: Any, path: str, contexts: Any) -> dict[str, float]:
    model, backbone, which = case.network.split("_")
    which = segmentation.SETS[which]
    given = segmentation.replaced(segmentation.SEGMENTATION[which], options)
    net = gluoncv.model_zoo.segbase.get_segmentation_model(
        model, dataset=which, backbone=backbone, aux=True, pretrained_base=False, crop_size=32
    )
    net.load_parameters(path)
    images = segmentation.images_of(options, which, given)[1]
    return segmentation.evaluate(net, images, contexts)


def _detected(case: Case, options: Any, path: str, contexts: Any) -> dict[str, float]:
    net = on_cpus(gluoncv.model_zoo.get_model(case.network, pretrained_base=False))
    net.load_parameters(path)
    net.short = options.short
    *images, metric = detection.DATA[case.network.rpartition("_")[2]](options)
    images = detection.loaders(options, net, *images, 2, 1)[1]
    return detection.evaluate(net, images, contexts, metric)


LOADED = {classification: _classified, segmentation: _segmented, detection: _detected}


# --- GluonCV's own networks take long on a CPU ------------------------------------------------


def tiny(patch: pytest.MonkeyPatch) -> None:
    """Two detectors more, with few proposals; a shallow ResNet-50; CIFAR without checksums."""
    patch.setattr(gluoncv.model_zoo.segbase, "resnet50_v1s", _shallow)
    patch.setattr(mx.gluon.data.vision.datasets, "check_sha1", lambda path, sha1: True)
    for name in ("faster_rcnn_tiny_voc", "faster_rcnn_fpn_tiny_coco"):
        patch.setitem(DETECTORS, name, None)
    zoo = gluoncv.model_zoo.model_zoo._models
    patch.setitem(zoo, "faster_rcnn_tiny_voc", _c4)
    patch.setitem(zoo, "faster_rcnn_fpn_tiny_coco", _fpn)


def _shallow(pretrained: bool, **options: Any) -> Any:
    versions = gluoncv.model_zoo.resnetv1b
    return versions.ResNetV1b(
        versions.BottleneckV1b, [1, 1, 1, 1], deep_stem=True, stem_width=64, **options
    )


FEW = {
    "rpn_train_pre_nms": 64, "rpn_train_post_nms": 16, "rpn_test_pre_nms": 64,
    "rpn_test_post_nms": 8, "rpn_channel": 16, "num_sample": 8, "max_num_gt": 4, "max_size": 128,
}  # fmt: skip


def _c4(**options: Any) -> Any:
    options.pop("pretrained_base")
    base = get_plain_model("resnet18_v1b", use_global_stats=True)
    features, top = (mx.gluon.nn.HybridSequential() for _ in range(2))
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        features.add(getattr(base, name))
    top.add(base.layer4)
    return gluoncv.model_zoo.rcnn.faster_rcnn.get_faster_rcnn(
        name="tiny", dataset="voc", features=features, top_features=top, strides=16,
        classes=gluoncv.data.VOCDetection.CLASSES, roi_size=(4, 4), scales=(2, 4),
        train_patterns=".*dense|.*rpn|.*layers(2|3|4)_conv", **FEW, **options,
    )  # fmt: skip


def _fpn(**options: Any) -> Any:
    options.pop("pretrained_base")
    # The zoo's table has a double-head one by this name.
    return gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn.custom_faster_rcnn_fpn(
        classes=gluoncv.data.COCODetection.CLASSES, pretrained_base=False,
        base_network_name="resnet18_v1b", num_fpn_filters=16, num_box_head_dense_filters=16,
        roi_size=(4, 4), min_stage=2, max_stage=6, strides=(4, 8, 16, 32, 64),
        scales=(2, 4, 8, 16, 32), **FEW, **options,
    )  # fmt: skip
