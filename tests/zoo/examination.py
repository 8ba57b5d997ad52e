"""What every network of a zoo goes through: convert, train a step, fold, load what was folded.

A framework says how (:class:`Zoo`). A step of the plain network's own that fails is told apart, and
folding is measured against the plain network's own rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

Reached = Callable[[str], None]
"""Notes how far a network has come, as what a failure from here on means."""

Arrays = list[np.ndarray]

SLACK = 16
"""How many times what the last digit of its kernels does, folding may do to an output."""


class Zoo(ABC):
    """Networks, and how a framework does things with one."""

    packages: ClassVar[tuple[str, ...]]
    """Whose versions the report names."""

    @abstractmethod
    def networks(self, given: Any) -> Iterable[Any]:
        """What has a ``zoo`` and a ``name``; ``given`` is what the command was given."""

    @abstractmethod
    def make(self, network: Any) -> Any:
        """The plain network."""

    @abstractmethod
    def inputs(self, network: Any, model: Any, random: np.random.Generator) -> Any:
        """A batch."""

    @abstractmethod
    def randomize(self, model: Any, random: np.random.Generator) -> None:
        """Change scales such as 0 or 1e-6, which would hide what lies behind them."""

    @abstractmethod
    def run(self, model: Any, x: Any) -> Arrays:
        """All outputs, as in inference."""

    @abstractmethod
    def train(self, network: Any, model: Any, x: Any) -> None:
        """One step, with a loss that is new at each output."""

    @abstractmethod
    def convert(self, network: Any, model: Any, row: Any) -> Any:
        """A converted copy."""

    @abstractmethod
    def fold(self, model: Any) -> Any:
        """The plain network again."""

    @abstractmethod
    def summary(self, model: Any) -> Any:
        """A row for each convolution."""

    @abstractmethod
    def pairs(self, model: Any) -> list[tuple[Any, Any]]:
        """W and D of every over-parameterized layer."""

    @abstractmethod
    def variables(self, model: Any) -> list[Any]:
        """All of a network."""

    @abstractmethod
    def read(self, variable: Any) -> np.ndarray:
        """A copy of its value."""

    @abstractmethod
    def write(self, variable: Any, value: np.ndarray) -> None:
        """Give it a value."""

    @abstractmethod
    def reload(self, network: Any, folded: Any, folder: str) -> Any:
        """An untouched network that has loaded the folded one's weights, strictly."""


def examine(zoo: Zoo, network: Any, row: Any, reached: Reached, folder: str) -> None:
    """Fill in one network's row."""
    random = np.random.default_rng(0)
    reached("plain: cannot be built")
    plain = zoo.make(network)
    zoo.randomize(plain, random)
    reached("plain: does not run")
    x = zoo.inputs(network, plain, random)
    y = zoo.run(plain, x)
    row.parameters = sum(int(np.prod(each.shape)) for each in zoo.variables(plain))
    if not all(np.isfinite(each).all() for each in y):
        return reached("plain: its output is not finite")

    reached("convert fails")
    converted = zoo.convert(network, plain, row)
    rows = zoo.summary(converted)
    row.convolutions, row.converted = len(rows), len(rows.converted)
    reasons = [each.reason for each in rows if each.reason]
    row.left = "; ".join(f"{reasons.count(each)} {each}" for each in sorted(set(reasons)))
    row.unchanged = _difference(zoo.run(converted, x), y)
    if not row.converted:
        return reached("nothing to convert")

    reached("plain: does not train")
    zoo.train(network, plain, x)
    if not all(np.isfinite(each).all() for each in zoo.run(plain, x)):
        return reached("plain: a step of training leaves no finite output")
    reached("the converted network does not train")
    pairs = zoo.pairs(converted)
    before = [zoo.read(W) for W, _ in pairs]
    zoo.train(network, converted, x)
    trained = [(zoo.read(W) != was).any() for (W, _), was in zip(pairs, before, strict=True)]
    moved = [zoo.read(D).any() for _, D in pairs]
    row.moved = sum(map(bool, moved))
    left = sum(bool(W and not D) for W, D in zip(trained, moved, strict=True))

    reached("fold fails")
    for _, D in pairs:
        zoo.write(D, 0.05 * random.normal(size=D.shape))
    y = zoo.run(converted, x)
    largest = max(float(np.abs(each).max()) for each in y)
    folded = zoo.fold(converted)
    deployed = zoo.run(folded, x)
    row.folded = _difference(deployed, y) / largest
    reached("the untouched network cannot load it")
    row.reloaded = _difference(zoo.run(zoo.reload(network, folded, folder), x), deployed)
    reached("the last digit of the kernels cannot be changed")
    for each in zoo.variables(folded):
        if len(each.shape) > 2:
            zoo.write(each, _with_another_last_digit(zoo.read(each), random))
    row.nudged = _difference(zoo.run(folded, x), deployed) / largest

    faults = {
        "convert changed it": row.unchanged != 0,
        "nothing was trained": not row.moved,
        f"{left} D's did not move though W did": left,
        "fold changed it": not row.folded <= SLACK * row.nudged,
        "the untouched one differs": row.reloaded != 0,
    }
    return reached(", ".join(fault for fault, found in faults.items() if found) or "ok")


def _with_another_last_digit(kernel: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each number goes up or down by at most one unit in its last place."""
    return kernel * (1 + np.finfo(np.float32).eps * random.choice((-1, 1), kernel.shape))


def _difference(ours: Arrays, theirs: Arrays) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
