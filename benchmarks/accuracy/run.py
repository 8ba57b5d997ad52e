"""One training of one network: what was asked for, how it is trained, and what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """How every network of a study is trained.

    Attributes:
        optimizer: "SGD" or "Adam", with the framework's own defaults for what is not said here.
        batch: images in a step; the last batch of an epoch may be smaller.
        momentum: of SGD.
        weight_decay: times the weights, added to their gradients.
        schedule: "constant", or "cosine": the rate falls to zero, step by step.
        shuffle: images are drawn from a buffer of this many, as ``tf.data`` does; None: from all.
    """

    optimizer: str = "SGD"
    batch: int = 32
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    shuffle: int | None = None


@dataclass(frozen=True, order=True)
class Run:
    """What identifies a run: two runs of equal fields, on one machine, give equal figures.

    Attributes:
        study: whose recipe it follows.
        framework: "torch", "keras" or "gluon".
        data: the data set.
        network: by name, in ``benchmarks.with_<framework>``.
        arm: what is done to the network before or while it is trained.
        rate: the learning rate.
        seed: of the initial weights and of the order of the images; the same for all arms.
        epochs: passes over the images.
        images: how many are trained on.
    """

    study: str
    framework: str
    data: str
    network: str
    arm: str
    rate: float
    seed: int
    epochs: int
    images: int

    def __str__(self) -> str:
        return (
            f"{self.study} {self.framework} {self.network} {self.arm}, rate {self.rate:g}, "
            f"seed {self.seed}, {self.epochs} epochs of {self.images} {self.data}"
        )


class Outcome(NamedTuple):
    """What a training gives.

    Attributes:
        loss: mean training loss of each epoch; shorter than the run if it stopped being finite.
        validation: accuracy in percent after each epoch; empty without validation images.
        test: accuracy in percent at the end, looked at once.
        diverged: the loss stopped being finite, or the last accuracy is below twice chance.
    """

    loss: list[float]
    validation: list[float]
    test: float
    diverged: bool


Record = dict[str, Any]
"""A run, its outcome, and where it came from, as in a line of the files."""


def record_of(run: Run, outcome: Outcome, **origin: Any) -> Record:
    return {**asdict(run), **outcome._asdict(), **origin}


def run_of(record: Record) -> Run:
    return Run(**{name: record[name] for name in Run.__dataclass_fields__})


def outcome_of(record: Record) -> Outcome:
    return Outcome(*(record[name] for name in Outcome._fields))


def outcome(
    run: Run, loss: list[float], validation: list[float], test: float, classes: int
) -> Outcome:
    """Says whether the run diverged."""
    last = validation[-1] if validation else test
    return Outcome(loss, validation, test, len(loss) < run.epochs or last < 2 * 100 / classes)
