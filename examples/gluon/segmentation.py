r"""GluonCV's FCN, PSPNet and DeepLabV3 with DO-Conv, on Pascal VOC and Cityscapes, by its settings.

    python -m examples.gluon.segmentation --network psp_resnet101_citys --output runs/psp_citys \
        --data ~/.mxnet/datasets/citys --pretrained --gpus 0,1,2,3,4,5,6,7 --syncbn --workers 48

Losses, metrics and rates are those of GluonCV 0.10's scripts/segmentation/train.py; `settings.py`
has what the commands of its model zoo give it. VOC takes two runs there: one with ``--augmented``,
one without, which starts (``--start``) with what the first has saved. After an interruption, give
the same command again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from doconv_gluon import convert, fold
from doconv_gluon.model_zoo import gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon import common, published
from examples.gluon.loop import At, Run
from examples.gluon.settings import SEGMENTATION, Segmentation, replaced

data, transforms, utils = mx.gluon.data, mx.gluon.data.vision.transforms, gluoncv.utils
segbase, DataParallelModel = gluoncv.model_zoo.segbase, utils.parallel.DataParallelModel
SETS = {"voc": "pascal_voc", "citys": "citys"}
LAYOUTS = {
    "pascal_voc": ("VOC2012/{JPEGImages,SegmentationClass}", "VOC2012/ImageSets/Segmentation"),
    "pascal_aug": ("VOCaug/dataset/{img,cls}", "VOCaug/dataset/trainval.txt"),
    "citys": ("{leftImg8bit,gtFine}/{train,val}/CITY", "leftImg8bit/train"),
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; give the results."""
    parser = common.options_of(__doc__, networks())
    parser.add_argument("--augmented", action="store_true", help="VOC's augmented set")
    parser.add_argument("--start", type=Path, help="parameters of a folded network")
    parser.add_argument("--syncbn", action="store_true", help="norms over all GPUs")
    parser.add_argument("--base-size", type=int, help="instead of GluonCV's")
    parser.add_argument("--crop-size", type=int, help="instead of GluonCV's, a multiple of 8")
    options = common.parsed(parser, arguments)
    which = SETS[options.network.rpartition("_")[2]]
    which = "pascal_aug" if options.augmented else which
    given, contexts = replaced(SEGMENTATION[which], options), common.devices(options)
    train, val = images_of(options, which, given)

    net = build(options, which, given, len(contexts))
    common.initialize(net, mx.init.Uniform(), contexts)
    if options.start:
        net.load_parameters(str(options.start), ctx=contexts)
    if options.do_conv != "none":
        net = convert(net, where=common.WHERE[options.do_conv], D_mul=options.D_mul, inplace=True)
    parallel = DataParallelModel(net, contexts, options.syncbn)
    criterion = gluoncv.loss.MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=0.5)
    loss_of = utils.parallel.DataParallelCriterion(criterion, contexts, options.syncbn)
    trainer = common.trainer_of(net.collect_params(), "sgd", wd=1e-4, momentum=0.9)

    def learn(batch: Any, at: At) -> list[Any]:
        with mx.autograd.record():
            losses = loss_of(parallel(batch[0]), batch[1])
        losses = [each[0] if isinstance(each, tuple) else each for each in losses]
        mx.autograd.backward(losses)
        trainer.step(given.batch)
        return losses

    run = Run(options, net, trainer, given.epochs)
    run.train(
        train,
        rate=poly(given, len(train)),
        learn=learn,
        evaluate=lambda: evaluate(fold(net), val, contexts),
    )
    folded = fold(net)
    return run.finish(folded, evaluate(folded, val, contexts))


def build(options: argparse.Namespace, which: str, given: Segmentation, parts: int) -> Any:
    """The plain network."""
    model, backbone, _ = options.network.split("_")
    norm = {"norm_layer": mx.gluon.nn.BatchNorm, "norm_kwargs": {}}
    if options.syncbn:
        norm = {"norm_layer": mx.gluon.contrib.nn.SyncBatchNorm,
                "norm_kwargs": {"num_devices": parts}}  # fmt: skip
    return segbase.get_segmentation_model(
        model, dataset=which, backbone=backbone, aux=True, pretrained_base=options.pretrained,
        base_size=given.base_size, crop_size=given.crop_size, **norm,
    )  # fmt: skip


def images_of(options: argparse.Namespace, which: str, given: Segmentation) -> tuple[Any, Any]:
    """For training and for validation."""
    folder, (layout, needed) = options.data.expanduser(), LAYOUTS[which]
    common.need(f"DATA/{layout}, and DATA/{needed}", folder / needed)
    normal = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    transform = transforms.Compose([transforms.ToTensor(), normal])
    images = [
        gluoncv.data.get_segmentation_dataset(
            which, root=str(folder), split=part, mode=part, base_size=given.base_size,
            crop_size=given.crop_size, transform=transform,
        )
        for part in ("train", "val")
    ]  # fmt: skip
    order = data.BatchSampler(data.RandomSampler(len(images[0])), given.batch, "rollover")
    # All, each once; the script's own "rollover" leaves some for the next evaluation.
    in_order = data.BatchSampler(data.SequentialSampler(len(images[1])), given.batch, "keep")
    workers = {"num_workers": options.workers}
    train, val = (common.Images(images[i], each, options.seed, **workers)
                  for i, each in enumerate((order, in_order)))  # fmt: skip
    return train, val


def poly(given: Segmentation, batches: int) -> Any:
    """A polynomial of power 0.9 to zero."""
    length = {"nepochs": given.epochs, "iters_per_epoch": batches}
    schedule = utils.LRScheduler("poly", base_lr=given.lr, power=0.9, **length)
    return lambda at: schedule(at.step + 1)  # MXNet counts the step before it asks


def evaluate(net: Any, images: common.Images, contexts: list[Any]) -> dict[str, float]:
    """The share of pixels, and the mean over classes of intersection over union."""
    metric = utils.metrics.SegmentationMetric(net.nclass)
    parts = DataParallelModel(segbase.SegEvalModel(net), contexts)
    for image, mask in images.epoch(0, 0):
        metric.update(common.split(mask, contexts), [each[0] for each in parts(image)])
    return dict(zip(("pixAcc", "mIoU"), map(float, metric.get()), strict=True))


networks, rows = published.segmentation_networks, published.segmentation_rows

if __name__ == "__main__":
    main()
