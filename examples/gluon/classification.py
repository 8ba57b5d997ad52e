r"""GluonCV's classification networks with DO-Conv, on ImageNet and CIFAR-10, by its own settings.

    python -m examples.gluon.classification --network resnet18_v1 --output runs/resnet18_v1 \
        --data ~/.mxnet/datasets/imagenet --gpus 0,1,2,3 --workers 30

Losses, metrics and rates are those of GluonCV 0.10's scripts/classification/imagenet/
train_imagenet.py and scripts/classification/cifar/train_cifar10.py; `settings.py` has what the
commands of its model zoo give them. After an interruption, give the same command again.
"""

from __future__ import annotations

import random
from typing import Any

from doconv_gluon import convert, fold
from doconv_gluon.model_zoo import get_plain_model, gluoncv
from doconv_gluon.mxnet import mx
from examples.gluon import common, published
from examples.gluon.classification_data import cifar10, imagenet
from examples.gluon.loop import At, Run
from examples.gluon.settings import CIFAR10, IMAGENET, Classification, replaced

LRScheduler = gluoncv.utils.LRScheduler


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; give the results."""
    parser = common.options_of(__doc__, networks())
    parser.add_argument("--dtype", choices=("float32", "float16"), help="instead of GluonCV's")
    parser.add_argument("--input-size", type=int, default=224, help="of ImageNet's images")
    options = common.parsed(parser, arguments)
    settings = {**IMAGENET, **CIFAR10}
    given, small = replaced(settings[options.network], options), options.network in CIFAR10
    classes = 10 if small else 1000
    contexts = common.devices(options)
    train, val = (cifar10 if small else imagenet)(options, given.batch)

    net = build(options.network, classes, given.last_gamma, options.pretrained)
    if options.do_conv != "none":
        net = convert(net, where=common.WHERE[options.do_conv], D_mul=options.D_mul, inplace=True)
    net.cast(given.dtype)
    common.initialize(net, mx.init.Xavier() if small else mx.init.MSRAPrelu(), contexts)
    if given.no_wd:
        common.without_decay(net)
    # Not static_shape, as the script: after loading, MXNet 1.9.1 then loses norms' statistics.
    net.hybridize()

    half = given.dtype == "float16"
    optimizer = {"wd": given.wd, "momentum": 0.9, "multi_precision": half}
    trainer = common.trainer_of(net.collect_params(), "nag", **optimizer)
    hard = not (given.smoothing or given.mixup)
    loss_of = mx.gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=hard)

    def learn(batch: Any, at: At) -> list[Any]:
        images, labels = (common.split(each, contexts) for each in batch[:2])
        if not hard:
            share = random.betavariate(0.2, 0.2) if given.mixup else 1.0
            images = [share * x + (1 - share) * x[::-1] for x in images]
            labels = [soft(y, classes, share, 0.1 if given.smoothing else 0.0) for y in labels]
        with mx.autograd.record():
            outputs = [net(x.astype(given.dtype)) for x in images]
            pairs = zip(outputs, labels, strict=True)
            losses = [loss_of(output, y.astype(given.dtype)) for output, y in pairs]
        mx.autograd.backward(losses)
        trainer.step(given.batch)
        return losses

    run = Run(options, net, trainer, given.epochs)
    rate = decayed(given) if small else cosine(given, len(train))
    run.train(
        train,
        rate=rate,
        learn=learn,
        evaluate=lambda: evaluate(fold(net), val, contexts, given.dtype),
    )
    folded = fold(net)
    return run.finish(folded, evaluate(folded, val, contexts, given.dtype))


def build(network: str, classes: int, last_gamma: bool, pretrained: bool) -> Any:
    """The plain network."""
    more = {"last_gamma": True} if last_gamma else {}
    return get_plain_model(network, classes=classes, pretrained=pretrained, **more)


def soft(label: Any, classes: int, share: float, eta: float) -> Any:
    """One-hot labels, smoothed by eta, mixed with those of the images in reverse order."""
    on, off = 1 - eta + eta / classes, eta / classes
    one, other = (y.one_hot(classes, on_value=on, off_value=off) for y in (label, label[::-1]))
    return share * one + (1 - share) * other


def cosine(given: Classification, batches: int) -> Any:
    """Linear warm-up, then a cosine to zero."""
    length = {"iters_per_epoch": batches}
    up = LRScheduler("linear", base_lr=0, target_lr=given.lr, nepochs=given.warmup, **length)
    rest = max(given.epochs - given.warmup, 1)
    down = LRScheduler("cosine", base_lr=given.lr, target_lr=0, nepochs=rest, **length)
    schedule = gluoncv.utils.LRSequential([up, down])
    return lambda at: schedule(at.step + 1)  # MXNet counts the step before it asks


def decayed(given: Classification) -> Any:
    """Steps down at given epochs."""
    return lambda at: given.lr * given.decay ** sum(at.epoch >= e for e in given.decay_epochs)


def evaluate(net: Any, images: Any, contexts: list[Any], dtype: str) -> dict[str, float]:
    """The shares of images whose class is the first guess, and among the first five."""
    top1, top5 = mx.metric.Accuracy(), mx.metric.TopKAccuracy(5)
    for batch in images.epoch(0, 0):
        data, labels = (common.split(each, contexts) for each in batch[:2])
        outputs = [net(x.astype(dtype)) for x in data]
        for metric in (top1, top5):
            metric.update(labels, outputs)
    return {"top1": float(top1.get()[1]), "top5": float(top5.get()[1])}


networks, rows = published.classification_networks, published.classification_rows

if __name__ == "__main__":
    main()
