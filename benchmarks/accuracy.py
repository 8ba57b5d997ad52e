"""The family on real digits: accuracy beside what the deployed network costs.

python -m benchmarks.accuracy --preset short
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.frame.learning import Learned, learning
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import table


class Budget(NamedTuple):
    """How long networks train, on how many of the 898 images, and their width."""

    epochs: int
    images: int
    width: int


BUDGETS = {
    "tiny": Budget(2, 64, 4),
    "short": Budget(10, 898, 16),
    "full": Budget(20, 898, 16),
}
HOW = "SGD, learning rate 0.02 falling by a cosine, momentum 0.9, batches of 32, batch norm"


def measure(settings: Settings, bar: Bar) -> Report:
    """Train plain, DO-Conv, CondConv and XSepConv networks on digits: same data, same seeds."""
    from doconv_cli.demo.experiment import digits  # scikit-learn takes seconds to import

    module = importlib.import_module(f"benchmarks.with_{settings.framework}.accuracy")
    epochs, images, width = BUDGETS[settings.preset]
    data = digits()
    data = data._replace(
        train_images=data.train_images[:images], train_labels=data.train_labels[:images]
    )
    bar.total(settings.rounds * len(module.WAYS))
    accuracy = np.zeros((len(module.WAYS), settings.rounds, epochs))
    for seed in range(settings.rounds):
        for way, name in enumerate(module.WAYS):
            bar.says(f"{name}, seed {seed}")
            accuracy[way, seed] = module.train(name, data, seed=seed, epochs=epochs, width=width)
            bar.advance()
    learned = {
        name: Learned(each, *module.cost(name, width))
        for name, each in zip(module.WAYS, accuracy, strict=True)
    }
    title = f"Handwritten digits, {settings.framework}: {settings.rounds} paired seeds"
    return Report(
        {
            "how": HOW,
            "accuracy_percent": {name: each.accuracy.tolist() for name, each in learned.items()},
            "deployed": {
                name: {"parameters": each.parameters, "macs": each.macs}
                for name, each in learned.items()
            },
        },
        [_table(f"{title}, {epochs} epochs\n{HOW}", learned)],
        learning(learned, title),
    )


def _table(title: str, learned: dict[str, Learned]) -> Table:
    plain = learned["plain"].accuracy
    columns = (
        "accuracy, %\nat the end",
        "beyond plain\n(95 % interval)",
        "beyond plain,\nmean of epochs",
        "deployed\nparameters",
        "deployed\nMACs an image",
    )
    rows = [
        (
            name,
            f"{each.accuracy[:, -1].mean():.2f}",
            _difference(plain[:, -1], each.accuracy[:, -1]),
            _difference(plain.mean(axis=1), each.accuracy.mean(axis=1)),
            f"{each.parameters:,}",
            f"{each.macs:,}",
        )
        for name, each in learned.items()
    ]
    return table(title, columns, rows)


def _difference(plain: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    from doconv_cli.demo.statistics import paired_difference

    mean, low, high = paired_difference(plain, other)
    return f"{mean:+.2f} ({low:+.1f} .. {high:+.1f})"


app = command(
    "accuracy", measure, rounds={"tiny": 2, "short": 5, "full": 10}, frameworks=("torch",)
)

if __name__ == "__main__":
    app()
