"""Pascal VOC and COCO, loaded as GluonCV's ``train_faster_rcnn.py`` does."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import Any

from doconv_gluon.model_zoo import gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon.common import Images, need

batchify, metrics, rcnn = (
    gluoncv.data.batchify,
    gluoncv.utils.metrics,
    gluoncv.data.transforms.presets.rcnn,
)
LAYOUTS = {
    "voc": "DATA/{VOC2007,VOC2012}/{JPEGImages,Annotations,ImageSets/Main}",
    "coco": "DATA/{train2017,val2017,annotations}, with annotations/instances_{train,val}2017.json",
}


def voc(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Images for training and for validation, and the metric."""
    folder = options.data.expanduser()
    need(LAYOUTS["voc"], folder / "VOC2007", folder / "VOC2012")
    train = gluoncv.data.VOCDetection(str(folder), [(2007, "trainval"), (2012, "trainval")])
    val = gluoncv.data.VOCDetection(str(folder), [(2007, "test")])
    metric = metrics.voc_detection.VOC07MApMetric(iou_thresh=0.5, class_names=val.classes)
    return train, val, metric


def coco(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Images for training and for validation, and the metric."""
    folder, names = options.data.expanduser(), ("instances_train2017", "instances_val2017")
    need(LAYOUTS["coco"], *(folder / "annotations" / f"{name}.json" for name in names))
    if importlib.util.find_spec("pycocotools") is None:  # GluonCV would install it, unasked
        sys.exit("COCO needs pycocotools. Say: pip install pycocotools")
    train = gluoncv.data.COCODetection(str(folder), names[0], use_crowd=False)
    val = gluoncv.data.COCODetection(str(folder), names[1], skip_empty=False)
    options.output.mkdir(parents=True, exist_ok=True)
    found = str(options.output / "found")
    return train, val, metrics.coco_detection.COCODetectionMetric(val, found, cleanup=True)


def loaders(
    options: argparse.Namespace, net: Any, train: Any, val: Any, batch: int, parts: int
) -> tuple[Images, Any]:
    """Batches for training, of images of like shapes; for validation, one image a device."""
    shapes = [1.0] * len(train)
    if hasattr(train, "get_im_aspect_ratio"):
        shapes = train.get_im_aspect_ratio()
    order = gluoncv.data.sampler.SplitSortedBucketSampler(shapes, batch, shuffle=True)
    train = train.transform(
        rcnn.FasterRCNNDefaultTrainTransform(
            net.short, net.max_size, net, ashape=net.ashape, multi_stage=net.num_stages > 1
        )
    )
    short = net.short[-1] if isinstance(net.short, (tuple, list)) else net.short
    val = val.transform(rcnn.FasterRCNNDefaultValTransform(short, net.max_size))
    joined = batchify.FasterRCNNTrainBatchify(net, parts)
    apart = batchify.Tuple(*[batchify.Append() for _ in range(3)])
    workers = {"num_workers": options.workers}
    return (
        Images(train, order, options.seed, batchify_fn=joined, **workers),
        mx.gluon.data.DataLoader(val, parts, last_batch="keep", batchify_fn=apart, **workers),
    )
