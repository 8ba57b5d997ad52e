"""The loop of the recipes. It may be stopped at any step.

A run that was interrupted goes on where its last checkpoint is, when its command is given again,
and ends with the very numbers of one that was not: whatever is drawn at random is drawn from a
seed that the place in the run gives.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from doconv_gluon import summary
from examples.gluon.common import devices, seed


class At(NamedTuple):
    """A place in a run: steps so far; the epoch, and how many of its batches were seen."""

    step: int = 0
    epoch: int = 0
    batch: int = 0


@dataclass
class Run:
    """A network in training.

    Attributes:
        options: of the command line.
        net: the network.
        trainer: its Trainer.
        epochs: how many at most.
        at: where it is.
        loss: of the last step.
    """

    options: argparse.Namespace
    net: Any
    trainer: Any
    epochs: int
    at: At = At()  # noqa: RUF009  a NamedTuple is never changed
    loss: float | None = None

    def train(
        self,
        images: Any,
        *,
        rate: Callable[[At], float],
        learn: Callable[[Any, At], Any],
        evaluate: Callable[[], dict[str, Any]],
    ) -> None:
        """Train, from the last checkpoint if there is one.

        Args:
            images: whose ``epoch(number, seen)`` gives batches.
            rate: the learning rate of a step.
            learn: takes a step with a batch, and gives its losses.
            evaluate: gives figures of the network as it is.
        """
        self._resume()
        steps, every = self.options.steps or sys.maxsize, self.options.evaluate_every
        for epoch in range(self.at.epoch, self.epochs):
            if self.at.step >= steps:
                return
            batches = images.epoch(epoch, self.at.batch)
            bar = tqdm(batches, f"epoch {epoch}", len(images), initial=self.at.batch)
            for batch in bar:
                seed(self.options.seed, 2, self.at.step)
                self.trainer.set_learning_rate(rate(self.at))
                self.loss = _mean(learn(batch, self.at))
                bar.set_postfix(loss=self.loss)
                self.at = At(self.at.step + 1, epoch, self.at.batch + 1)
                if self.at.step % self.options.save_every == 0 or self.at.step == steps:
                    self._save()
                if self.at.step == steps:
                    return
            self.at = At(self.at.step, epoch + 1)
            if every and self.at.epoch % every == 0 and self.at.epoch < self.epochs:
                tqdm.write(json.dumps({"epoch": epoch, **evaluate()}), sys.stderr)
            self._save()

    def finish(self, folded: Any, figures: dict[str, Any]) -> dict[str, Any]:
        """Save the folded network, as GluonCV loads it; print one line of JSON."""
        path = self.options.output / f"{self.options.network}.params"
        folded.save_parameters(str(path))
        result = {
            "network": self.options.network,
            "do_conv": self.options.do_conv,
            "D_mul": self.options.D_mul,
            "layers": len(summary(self.net).converted),
            "epochs": self.at.epoch,
            "steps": self.at.step,
            "loss": self.loss,
            **figures,
            "parameters": str(path),
        }
        print(json.dumps(result))
        return result

    # A checkpoint counts once its place is written, which is done last and at once.

    def _save(self) -> None:
        folder, saved = self.options.output, _named(At(*self._saved()["at"]))
        if _named(self.at) != saved:
            for old in set(folder.glob("step-*")) - set(folder.glob(f"{saved}.*")):
                old.unlink()
            self.net.save_parameters(str(folder / f"{_named(self.at)}.params"))
            self.trainer.save_states(str(folder / f"{_named(self.at)}.states"))
        content = {"at": self.at, "loss": self.loss, "options": _fixed(self.options)}
        part = folder / "run.json.part"
        part.write_text(json.dumps(content))
        os.replace(part, folder / "run.json")

    def _saved(self) -> dict[str, Any]:
        path = self.options.output / "run.json"
        return dict(json.loads(path.read_text())) if path.exists() else {"at": At()}

    def _resume(self) -> None:
        folder, saved = self.options.output, self._saved()
        folder.mkdir(parents=True, exist_ok=True)
        if not saved["at"][0]:
            return
        if saved["options"] != _fixed(self.options):
            sys.exit(
                f"{folder} holds a run with other options: {saved['options']}. Give those, or "
                "another --output."
            )
        self.at, self.loss = At(*saved["at"]), saved["loss"]
        path = str(folder / _named(self.at))
        self.net.load_parameters(f"{path}.params", ctx=devices(self.options))
        self.trainer.load_states(f"{path}.states")


_FREE = {"steps", "save_every", "evaluate_every", "workers", "output", "data"}
"""Options that may differ when a run goes on."""


def _fixed(options: argparse.Namespace) -> dict[str, str]:
    return {name: str(value) for name, value in vars(options).items() if name not in _FREE}


def _named(at: At) -> str:
    return f"step-{at.step}"


def _mean(losses: Iterable[Any]) -> float:
    return float(np.mean([loss.astype("float32").mean().asscalar() for loss in losses]))
