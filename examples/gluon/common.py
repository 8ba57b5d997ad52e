"""What the recipes share: their options, and images in an order that is the same each time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from doconv_gluon.model_zoo import backbone, backbone_and_head, gluoncv
from doconv_gluon.mxnet import mx
from examples import names
from examples.names import Names

WHERE = {"backbone": backbone, "all": backbone_and_head}
"""The paper's stages: the backbone alone, or all that is used after training."""


def options_of(description: str | None, networks: Names) -> argparse.ArgumentParser:
    """The options that every recipe has."""
    parser = argparse.ArgumentParser(
        description=description, epilog=names.listed(networks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    known = partial(names.known, networks)
    parser.add_argument("--network", type=known, required=True, help="GluonCV's name")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data set")
    stages = ("none", *WHERE)
    parser.add_argument("--do-conv", choices=stages, default="all", help="by default all")
    parser.add_argument("--D-mul", type=int, help="columns of W; by default the kernel's elements")
    parser.add_argument("--output", type=Path, required=True, help="checkpoints, and the result")
    parser.add_argument("--gpus", default="", help="such as 0,1,2,3; none is CPUs")
    parser.add_argument("--cpus", type=int, default=1, help="parts of a batch, without GPUs")
    parser.add_argument("--workers", type=int, default=4, help="processes that load images")
    parser.add_argument("--epochs", type=int, help="instead of GluonCV's")
    parser.add_argument("--batch-size", type=int, help="over all devices, instead of GluonCV's")
    parser.add_argument("--lr", type=float, help="instead of GluonCV's")
    parser.add_argument("--steps", type=int, help="end after so many; the rate is as for all")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--evaluate-every", type=int, default=1, help="epochs; 0 is at the end")
    parser.add_argument("--pretrained", action="store_true", help="download GluonCV's weights")
    parser.add_argument("--seed", type=int, default=233)
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options; from here on, what is drawn at random depends on them."""
    options = parser.parse_args(arguments)
    seed(options.seed)
    return options


def devices(options: argparse.Namespace) -> list[Any]:
    """GPUs, or as many CPUs."""
    gpus = [int(each) for each in options.gpus.split(",") if each]
    if max(gpus, default=-1) >= (seen := mx.context.num_gpus()):
        sys.exit(f"No GPUs {options.gpus}: this MXNet sees {seen}. Without --gpus it takes CPUs.")
    return [mx.gpu(each) for each in gpus] or [mx.cpu(each) for each in range(options.cpus)]


def need(layout: str, *paths: Path) -> None:
    """End with a sentence where one of the data's files or folders is not there."""
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        sys.exit(f"The data are not there: {', '.join(absent)}. Expected:\n{layout}")


# --- images ----------------------------------------------------------------------------------


def seed(*place: int, device: Any = "all") -> None:
    """Seed Python's, NumPy's and MXNet's random numbers by a place in the run."""
    number = int(np.random.SeedSequence(place).generate_state(1)[0]) >> 1
    gluoncv.utils.random.seed(number)
    mx.random.seed(number, ctx=device)


class Images:
    """A DataLoader whose epochs are the same whenever, and by however many workers, they are read.

    Args:
        dataset: whose items are drawn at random.
        batches: numbers of items, in an order that is drawn at random.
        seed: of both.
        **loader: of ``gluon.data.DataLoader``.
    """

    def __init__(self, dataset: Any, batches: Any, seed: int, **loader: Any) -> None:
        self._order = _Order(batches, len(dataset), seed)
        items = _Items(dataset, seed)
        self._loader = mx.gluon.data.DataLoader(items, batch_sampler=self._order, **loader)

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, number: int, seen: int) -> Iterator[Any]:
        """An epoch's batches, after those that were seen."""
        self._order.epoch, self._order.seen = number, seen
        return iter(self._loader)


class _Items(mx.gluon.data.Dataset):
    """Item ``epoch * size + i`` is item i as it is drawn in that epoch."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, number: int) -> Any:
        seed(self._seed, 0, number, device=mx.cpu())  # a worker must not touch GPUs
        return self._dataset[number % len(self)]


class _Order(mx.gluon.data.Sampler):
    def __init__(self, batches: Any, size: int, seed: int) -> None:
        self._batches, self._size, self._seed = batches, size, seed
        self._length, self._drawn, self.epoch, self.seen = len(batches), 0, 0, 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        # What is left over from an epoch opens the next one, so none is left out.
        for epoch in range(min(self._drawn, self.epoch), self.epoch + 1):
            seed(self._seed, 1, epoch)
            batches = list(self._batches)
        self._drawn = self.epoch + 1
        first = self.epoch * self._size
        return iter([[first + int(i) for i in batch] for batch in batches[self.seen :]])


# --- networks ----------------------------------------------------------------------------------


def initialize(net: Any, init: Any, contexts: list[Any]) -> None:
    """Draw what has no values yet, and put all on the devices."""
    for parameter in net.collect_params().values():
        if parameter._data is None:
            parameter.initialize(default_init=init)
    net.collect_params().reset_ctx(contexts)


def trainer_of(parameters: Any, name: str, **options: Any) -> Any:
    """A Trainer with the parameters in the network's order.

    By their names, as it would sort them, a second network's may stand in another order: saved
    states would then go to the wrong ones.
    """
    return mx.gluon.Trainer(list(parameters.values()), name, options)


def split(array: Any, contexts: list[Any]) -> list[Any]:
    """A batch's parts, one a device."""
    return list(mx.gluon.utils.split_and_load(array, contexts, even_split=False))


def without_decay(net: Any) -> None:
    """GluonCV's ``--no-wd``: none for biases and norms. D keeps it, as the weight does."""
    for parameter in net.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0
