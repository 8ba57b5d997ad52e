"""What is published of these trainings, for docs/recipes.md: networks, figures, hours, commands."""

from __future__ import annotations

from examples.gluon.settings import (
    CIFAR10,
    DETECTION,
    DETECTORS,
    IMAGENET,
    SEGMENTATION,
    SEGMENTERS,
)

PAPER = {"voc": "+0.25 mIoU on this set", "citys": "+1.45 mIoU on this set", "coco": "+0.3 AP"}
"""arXiv 2006.12030; the network and its baseline are in the paper."""
SETS = {
    "imagenet": "ImageNet", "cifar10": "CIFAR-10", "voc": "Pascal VOC", "citys": "Cityscapes",
    "coco": "COCO",
}  # fmt: skip
MORE = " --pretrained --syncbn"


def classification_networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes, by data set."""
    return {"ImageNet": list(IMAGENET), "CIFAR-10": list(CIFAR10)}


def classification_rows() -> list[dict[str, str]]:
    """The authors' table, and GluonCV's networks for CIFAR."""
    rows = []
    for data, networks in (("imagenet", IMAGENET), ("cifar10", CIFAR10)):
        for name, given in networks.items():
            found = "{:.2f}, {:+.2f}".format(*given.authors) if given.authors else ""
            if found or data == "cifar10":
                rows.append(_row("classification", name, data, found, given.hours, given.gpus))
    return rows


def segmentation_networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes, by data set."""
    return {SETS[which]: _of(SEGMENTERS, which) for which in ("voc", "citys")}


def segmentation_rows() -> list[dict[str, str]]:
    """The paper's three networks on its two sets."""
    gpus = {"voc": SEGMENTATION["pascal_voc"].gpus, "citys": SEGMENTATION["citys"].gpus}
    return [
        _row("segmentation", name, which, PAPER[which], SEGMENTERS[name], gpus[which], MORE)
        for which in gpus
        for name in _of(SEGMENTERS, which)
        if "_resnet101_" in name
    ]


def detection_networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes, by data set."""
    return {SETS[which]: _of(DETECTORS, which) for which in DETECTION}


def detection_rows() -> list[dict[str, str]]:
    """Faster R-CNN, C4 and FPN."""
    gpus, more = DETECTION["coco"].batch, " --pretrained"
    return [
        _row("detection", name, "coco", PAPER["coco"], DETECTORS[name], gpus, more)
        for name in _of(DETECTORS, "coco")
    ]


def _of(networks: dict[str, float | None], which: str) -> list[str]:
    return [name for name in networks if name.endswith(f"_{which}")]


def _row(
    recipe: str, name: str, data: str, found: str, hours: float | None, gpus: int, more: str = ""
) -> dict[str, str]:
    devices = ",".join(map(str, range(gpus)))
    command = f"python -m examples.gluon.{recipe} --network {name} --data {data}"
    return {
        "network": name,
        "data": SETS[data],
        "authors": found,
        "hours": "" if hours is None else f"{hours:.1f}",
        "command": f"{command} --output runs/{name} --gpus {devices}{more}",
    }
