r"""Detection on COCO with DO-Conv.

    pip install '.[torch]' torchvision pycocotools tqdm
    torchrun --nproc-per-node 8 -m examples.torch.detection \
        --network fasterrcnn_resnet50_fpn --backbone IMAGENET1K_V1 --data coco --output runs/faster

DATA has train2017, val2017 and annotations/instances_{train,val}2017.json. A backbone is a name of
torchvision's weights.

Settings: torchvision's references/detection (README.md, train.py, engine.py).
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from doconv_torch import OptimizerDOConv, convert, fold, summary
from examples.torch import common, published

SETTINGS: dict[str, Any] = {"epochs": 26, "batch_size": 2, "lr": 0.02, "weight_decay": 1e-4,
                            "drops": (16, 22), "augmentation": "hflip"}  # fmt: skip
"""For 8 GPUs; then what differs in a family of networks."""
DIFFERS: dict[str, dict[str, Any]] = {
    "retinanet": {"lr": 0.01},
    "fcos": {"lr": 0.01},
    "ssd300": {"epochs": 120, "batch_size": 4, "lr": 0.002, "weight_decay": 5e-4,
               "drops": (80, 110), "augmentation": "ssd"},
    "ssdlite320": {"epochs": 660, "batch_size": 24, "lr": 0.15, "weight_decay": 4e-5,
                   "drops": (), "augmentation": "ssdlite"},
}  # fmt: skip

networks, rows = published.detection_networks, published.detection_rows


def rate(args: argparse.Namespace, per_epoch: int) -> Callable[[float], float]:
    """The learning rate's factor at an epoch: a warm-up of 1000 steps, then drops or a cosine."""
    warm = min(1000, per_epoch - 1)

    def at(epoch: float) -> float:
        step = epoch * per_epoch
        up = 0.001 + 0.999 * step / warm if step < warm else 1
        if not args.drops:
            return up * (1 + math.cos(math.pi * min(int(epoch) / args.epochs, 1))) / 2
        return up * 0.1 ** sum(epoch >= drop for drop in args.drops)

    return at


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, fold, evaluate, save; what was found."""
    stages = ("none", "backbone", "all")
    parser = common.options(__doc__, "fasterrcnn_resnet50_fpn", networks(), stages)
    parser.add_argument("--backbone", help="weights; by default none")
    parser.add_argument("--min-size", type=int, help="of images; by default the network's")
    args = parser.parse_args(arguments)
    from torchvision.models import get_model

    from examples.torch.detection_data import CLASSES, Boxes, together

    family = next((each for each in DIFFERS if args.network.startswith(each)), "")
    own = SETTINGS | DIFFERS.get(family, {})
    common.settle(args, own, images=8 * own["batch_size"])
    masks = args.network.startswith("mask")
    training = Boxes(args.data, "train2017", args.augmentation, masks=masks)
    validation = Boxes(args.data, "val2017")
    device = common.start(args)
    model = get_model(
        args.network, weights=None, weights_backbone=args.backbone, num_classes=CLASSES,
        **({"min_size": args.min_size} if args.min_size else {}),
    )  # fmt: skip
    model = common.begin(args, model)
    where = None if args.do_conv == "all" else "backbone"
    layers = args.do_conv != "none" and not args.at_optimizer

    if layers:
        model = convert(model, where=where, D_mul=args.D_mul)
    model = model.to(device)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        args.lr,
        momentum=0.9,
        weight_decay=args.weight_decay,
    )
    if args.do_conv != "none" and args.at_optimizer:
        OptimizerDOConv(model, optimizer, where=where, D_mul=args.D_mul)

    def loss(network: nn.Module, batch: Any) -> Tensor:
        targets = [{name: each[name].to(device) for name in each if name != "image_id"}
                   for each in batch[1]]  # fmt: skip
        return sum(network([image.to(device) for image in batch[0]], targets).values())

    def measure(network: nn.Module) -> dict[str, float]:
        batches = common.evaluation_loader(args, validation, batch_size=1, collate=together)
        return evaluate(network, batches, validation.coco, autocast=args.bf16)

    trained = common.train(
        args, model, optimizer, training, loss=loss, evaluate=measure, collate=together,
        groups=training.aspects(), rate=rate(args, common.Batches(args, len(training)).per_epoch),
    )  # fmt: skip
    deployed = fold(trained) if layers else trained
    converted = len(summary(trained).converted)
    return common.finish(args, deployed, {"layers": converted, **measure(deployed)})


@torch.no_grad()
def evaluate(
    network: nn.Module, batches: Any, coco: Any, *, autocast: bool = False
) -> dict[str, float]:
    """COCO's average precision of boxes, in percent."""
    from examples.torch.detection_data import precision

    network.eval()
    device = next(network.parameters()).device
    found = []
    for images, targets in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            outputs = network([image.to(device) for image in images])
        for target, output in zip(targets, outputs, strict=True):
            boxes = output["boxes"].float()
            boxes[:, 2:] -= boxes[:, :2]
            columns = (output["labels"], boxes, output["scores"])
            for label, box, score in zip(*(each.tolist() for each in columns), strict=True):
                found.append({"image_id": target["image_id"], "category_id": label,
                              "bbox": box, "score": score})  # fmt: skip
    if dist.is_initialized():
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, found)
        found = list(itertools.chain(*parts))
    return precision(coco, found)


if __name__ == "__main__":
    main()
