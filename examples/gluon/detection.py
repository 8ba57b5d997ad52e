r"""GluonCV's Faster R-CNN (C4 and FPN) with DO-Conv, on Pascal VOC and COCO, by its own settings.

    python -m examples.gluon.detection --network faster_rcnn_fpn_resnet50_v1b_coco --pretrained \
        --data ~/.mxnet/datasets/coco --output runs/fpn --gpus 0,1,2,3,4,5,6,7 --workers 16

Losses, metrics and rates are those of GluonCV 0.10's scripts/detection/faster_rcnn/
train_faster_rcnn.py; `settings.py` has what the commands of its model zoo give it. After an
interruption, give the same command again.
"""

from __future__ import annotations

import math
from typing import Any

from doconv_gluon import convert, fold
from doconv_gluon.model_zoo import get_plain_model, gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon import common, published
from examples.gluon.detection_data import coco, loaders, voc
from examples.gluon.loop import At, Run
from examples.gluon.pyramid import on_cpus
from examples.gluon.settings import DETECTION, Detection, replaced

ForwardBackwardTask = gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel.ForwardBackwardTask
DATA = {"voc": voc, "coco": coco}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; give the results."""
    parser = common.options_of(__doc__, networks())
    parser.add_argument("--short", type=int, help="shorter side of an image, instead of GluonCV's")
    options = common.parsed(parser, arguments)
    which, contexts = options.network.rpartition("_")[2], common.devices(options)
    given = replaced(DETECTION[which], options)
    *images, metric = DATA[which](options)

    net = build(options.network, options.pretrained, given.batch // len(contexts))
    net = net if options.gpus else on_cpus(net)
    net.short = options.short or net.short
    common.initialize(net, mx.init.Uniform(), contexts)
    if options.do_conv != "none":
        net = convert(net, where=common.WHERE[options.do_conv], D_mul=options.D_mul, inplace=True)
    net.collect_params().setattr("grad_req", "null")
    net.collect_train_params().setattr("grad_req", "write")  # not norms, nor the first stage
    trained = net.collect_train_params()
    trainer = common.trainer_of(trained, "sgd", wd=given.wd, momentum=0.9)
    train, val = loaders(options, net, *images, given.batch, len(contexts))
    task = task_of(net, trainer)
    net.hybridize()

    def learn(batch: Any, at: At) -> list[Any]:
        parts = zip(*on_devices(batch, contexts), strict=True)
        losses = [sum(task.forward_backward(part)[:4]) for part in parts]
        trainer.step(given.batch)
        return losses

    run = Run(options, net, trainer, given.epochs)
    run.train(
        train,
        rate=decayed(given),
        learn=learn,
        evaluate=lambda: evaluate(deployed(fold(net)), val, contexts, metric),
    )
    folded = deployed(fold(net))
    return run.finish(folded, evaluate(folded, val, contexts, metric))


def build(network: str, pretrained: bool, images: int) -> Any:
    """The plain network, for as many images a device."""
    return get_plain_model(network, pretrained_base=pretrained, per_device_batch_size=images)


def task_of(net: Any, trainer: Any) -> Any:
    """GluonCV's step, with the losses of its script."""
    loss = mx.gluon.loss
    return ForwardBackwardTask(
        net,
        trainer,
        rpn_cls_loss=loss.SigmoidBinaryCrossEntropyLoss(from_sigmoid=False),
        rpn_box_loss=loss.HuberLoss(rho=1 / 9),
        rcnn_cls_loss=loss.SoftmaxCrossEntropyLoss(),
        rcnn_box_loss=loss.HuberLoss(rho=1),
        mix_ratio=1.0,
        amp_enabled=False,
    )


def deployed(net: Any) -> Any:
    """Without the constants of training, for which GluonCV's own evaluation has no place."""
    net._children.pop("_target_generator", None)
    return net


def decayed(given: Detection) -> Any:
    """Steps down at given epochs, after a linear warm-up in the first."""

    def rate(at: At) -> float:
        rate = given.lr * 0.1 ** sum(at.epoch >= epoch for epoch in given.decay_epochs)
        if at.epoch == 0 and at.batch <= given.warmup:
            share = at.batch / given.warmup
            rate *= (1 - share) / 3 + share
        return rate

    return rate


def on_devices(batch: Any, contexts: list[Any]) -> list[list[Any]]:
    """A batch that is split already, on its devices; the last one may be for fewer."""
    batch = [each if isinstance(each, (list, tuple)) else [each] for each in batch]
    return [
        [part.as_in_context(context) for part, context in zip(parts, contexts, strict=False)]
        for parts in batch
    ]


def evaluate(net: Any, images: Any, contexts: list[Any], metric: Any) -> dict[str, float]:
    """Mean average precision: VOC's of 2007, or COCO's, in percent."""
    clip = gluoncv.nn.bbox.BBoxClipToImage()
    metric.reset()
    for batch in images:
        for x, truth, scale in zip(*on_devices(batch, contexts), strict=True):
            classes, scores, boxes = net(x)
            scale = float(scale.asnumpy().ravel()[0])
            found = clip(boxes, x) * scale, classes, scores
            known = truth[..., :4] * scale, truth[..., 4:5]
            hard = [truth[..., 5:6]] if truth.shape[-1] > 5 else None  # VOC says which are
            metric.update(*([each] for each in (*found, *known)), hard)
    found = float(metric.get()[1][-1]) * (1 if "COCO" in metric.name else 100)
    return {"mAP": found if math.isfinite(found) else 0.0}


networks, rows = published.detection_networks, published.detection_rows

if __name__ == "__main__":
    main()
