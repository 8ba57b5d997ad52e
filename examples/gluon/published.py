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

PAPER = {
    "voc": "+0.25 mIoU on this set",
    "citys": "+1.45 mIoU on this set",
    "coco": "+0.3 AP on this set",
}
"""arXiv 2006.12030; which network's they are, and its baseline, are in the paper."""
SETS = {
    "imagenet": "ImageNet", "cifar10": "CIFAR-10", "voc": "Pascal VOC", "citys": "Cityscapes",
    "coco": "COCO",
}  # fmt: skip


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
    """The paper's three networks on its two sets; on VOC, GluonCV's two runs."""
    gpus = {"voc": SEGMENTATION["pascal_voc"].gpus, "citys": SEGMENTATION["citys"].gpus}
    rows = []
    for which, count in gpus.items():
        for name in (each for each in _of(SEGMENTERS, which) if "_resnet101_" in each):
            row = _row("segmentation", name, which, PAPER[which], SEGMENTERS[name], count)
            command, begin = row["command"] + " --syncbn", " --pretrained"
            if which == "voc":
                first = _command("segmentation", name, which, count, f"{name}-augmented")
                command = f"{first} --syncbn --pretrained --augmented && {command}"
                begin = f" --start runs/{name}-augmented/{name}.params"
            rows.append({**row, "command": command + begin})
    return rows


def detection_networks() -> dict[str, list[str]]:
    """The names that ``--network`` takes, by data set."""
    return {SETS[which]: _of(DETECTORS, which) for which in DETECTION}


def detection_rows() -> list[dict[str, str]]:
    """Faster R-CNN, C4 and FPN."""
    found = {"voc": "", "coco": PAPER["coco"]}
    return [
        _row("detection", name, which, found[which], DETECTORS[name], given.batch, " --pretrained")
        for which, given in DETECTION.items()
        for name in _of(DETECTORS, which)
    ]


def _of(networks: dict[str, float | None], which: str) -> list[str]:
    return [name for name in networks if name.endswith(f"_{which}")]


def _row(
    recipe: str, name: str, data: str, found: str, hours: float | None, gpus: int, more: str = ""
) -> dict[str, str]:
    return {
        "network": name,
        "data": SETS[data],
        "authors": found,
        "hours": "" if hours is None else f"{hours:.1f}",
        "command": _command(recipe, name, data, gpus, name) + more,
    }


def _command(recipe: str, name: str, data: str, gpus: int, run: str) -> str:
    devices = ",".join(map(str, range(gpus)))
    return (
        f"python -m examples.gluon.{recipe} --network {name} --data {data}"
        f" --output runs/{run} --gpus {devices}"
    )
