"""The zoos' program itself: it tells every fault, survives every network, and goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.zoo import report
from tests.zoo.examination import Zoo

# A process that has loaded frameworks has threads, and Python 3.12 warns of forking such a one.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class Network(NamedTuple):
    """One kernel k = W + D, whose output is k x; ``fault`` is where it goes wrong."""

    name: str
    fault: str = ""
    zoo: str = "numbers"


FAULTS = {
    "good": "ok",
    "built": "plain: cannot be built: ArithmeticError: wrong",
    "run": "plain: does not run: ArithmeticError: wrong",
    "train plain": "plain: does not train: ArithmeticError: wrong",
    "killed": "convert fails: exit status -9",
    "converted": "convert changed it",
    "train": "nothing was trained, 1 D's did not move though W did",
    "folded": "fold changed it",
    "reloaded": "the untouched one differs",
}


class Numbers(Zoo):
    """Networks of NumPy arrays."""

    packages = ("numpy",)

    def networks(self, given: Any) -> Iterable[Network]:
        return [Network(name, name) for name in FAULTS]

    def make(self, network: Network) -> Any:
        self._fail(network, "built")
        return {"W": np.ones((2, 3, 3), np.float32), "fault": network.fault}

    def inputs(self, network: Network, model: Any, random: np.random.Generator) -> Any:
        return random.normal(size=(2, 3, 3)).astype(np.float32)

    def randomize(self, model: Any, random: np.random.Generator) -> None:
        model["W"][...] = random.normal(size=model["W"].shape)

    def run(self, model: Any, x: Any) -> list[np.ndarray]:
        self._fail(model, "run")
        return [(model["W"] + model.get("D", 0)) * x * model.get("scale", 1)]

    def train(self, network: Network, model: Any, x: Any) -> None:
        if "D" not in model:
            self._fail(network, "train plain")
        model["W"] += 1
        if "D" in model and network.fault != "train":
            model["D"] += 1

    def convert(self, network: Network, model: Any, row: Any) -> Any:
        if network.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        scale = 2 if network.fault == "converted" else 1
        return {**model, "W": model["W"].copy(), "D": 0 * model["W"], "scale": scale}

    def fold(self, model: Any) -> Any:
        kernel = model["W"] + model["D"] * (model["fault"] != "folded")
        return {"W": kernel, "scale": model["scale"], "fault": model["fault"]}

    def summary(self, model: Any) -> Any:
        class Summary(list[Any]):
            converted = (0,)

        return Summary()

    def pairs(self, model: Any) -> list[tuple[Any, Any]]:
        return [(model["W"], model["D"])]

    def variables(self, model: Any) -> list[Any]:
        return [model["W"]]

    def read(self, variable: Any) -> np.ndarray:
        return variable.copy()

    def write(self, variable: Any, value: np.ndarray) -> None:
        variable[...] = value

    def reload(self, network: Network, folded: Any, folder: str) -> Any:
        return {**folded, "W": folded["W"] * (1 if network.fault != "reloaded" else 1.5)}

    def _fail(self, where: Any, step: str) -> None:
        if (where["fault"] if isinstance(where, dict) else where.fault) == step:
            raise ArithmeticError("wrong")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report.csv"
    monkeypatch.setattr(sys, "argv", ["zoo", str(path)])
    return path


def test_every_fault_is_told_and_ends_no_other_network(path: Path) -> None:
    assert report.main(Numbers(), None) == 1
    assert {row.name: row.result for row in report.read(path)} == FAULTS


def test_an_interrupted_run_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo", str(path), "--only", "good"])
    assert report.main(Numbers(), None) == 0
    (good,) = report.read(path)
    monkeypatch.setattr(sys, "argv", ["zoo", str(path), "--resume", "--only", "built"])
    assert report.main(Numbers(), None) == 0  # a plain network's failure is none of ours
    assert {row.name for row in report.read(path)} == {"good", "built"}
    monkeypatch.setattr(sys, "argv", ["zoo", str(path), "--resume", "--only", "o"])
    assert report.main(Numbers(), None) == 1
    rows = {row.name: row for row in report.read(path)}
    assert rows.keys() == {"built", *(name for name in FAULTS if "o" in name)}
    assert rows["good"] == good  # which is not done again
