"""Every network of the zoos: convert, train a step, fold, and load into the untouched network.

python -m tests.zoo.keras REPORT [--all] [--only WORD]

Each network gets a row in a table of comma-separated values. The program fails where a row does.
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from doconv_tf import convert, fold, summary
from tests.zoo.keras_networks import HUGE, Network, networks

NEAR = 1e-4
"""How far, relative to the largest output, folding may move a float32 network."""


@dataclass
class Row:
    """What became of one network.

    Attributes:
        zoo: the library.
        name: the network.
        result: "ok", "nothing to convert", "too large", or what went wrong.
        parameters: of the plain network.
        convolutions: how many it has.
        converted: how many of them are over-parameterized.
        left: reasons why the rest is not, with counts.
        unchanged: the largest difference that converting made to an output; must be 0.
        moved: how many of the D's one step of training moved.
        folded: the largest difference that folding made, relative to the largest output.
        nudged: the same, of the converted network when the last digits of its input are changed.
        reloaded: the largest one between the folded network and the untouched one that has loaded
            its weights; must be 0.
        seconds: for everything.
    """

    zoo: str
    name: str
    result: str = ""
    parameters: int = 0
    convolutions: int = 0
    converted: int = 0
    left: str = ""
    unchanged: float = 0
    moved: int = 0
    folded: float = 0
    nudged: float = 0
    reloaded: float = 0
    seconds: float = 0


def examine(network: Network) -> Row:
    """One network's row."""
    row, start = Row(network.zoo, network.name), time.perf_counter()
    try:
        _examine(network, row)
    except Exception as error:
        traceback.print_exc()
        row.result = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row.seconds = round(time.perf_counter() - start, 1)
    keras.backend.clear_session()
    gc.collect()
    return row


def _examine(network: Network, row: Row) -> None:
    model = network.make()
    row.parameters = model.count_params()
    if row.parameters > HUGE:
        row.result = "too large"
        return
    random = np.random.default_rng(0)
    _make_random(model, random)
    x = _inputs(model, random)
    y = _run(model, x)

    converted = convert(model)
    rows = summary(converted)
    row.convolutions, row.converted = len(rows), len(rows.converted)
    reasons = [each.reason for each in rows if each.reason]
    row.left = "; ".join(f"{reasons.count(each)} {each}" for each in sorted(set(reasons)))
    row.unchanged = _difference(_run(converted, x), y)
    if not row.converted:
        row.result = "nothing to convert"
        return

    D = [variable for variable in converted.trainable_variables if variable.name == "D"]
    _train_a_step(converted, x)
    row.moved = sum(bool(np.any(keras.ops.convert_to_numpy(each.value))) for each in D)
    before = _run(converted, x)
    for each in D:
        each.assign(0.05 * random.normal(size=each.shape))

    folded, trained = fold(converted), _run(converted, x)
    largest = max(float(np.abs(each).max()) for each in trained)
    row.folded = _difference(_run(folded, x), trained) / largest
    # An untrained network may amplify rounding; then its own rounding is what counts.
    nudged = keras.tree.map_structure(_nudged, x)
    row.nudged = _difference(_run(converted, nudged), trained) / largest
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "folded.weights.h5")
        folded.save_weights(path)
        untouched = network.make()
        untouched.load_weights(path)
    row.reloaded = _difference(_run(untouched, x), _run(folded, x))

    faults = {
        "convert changed it": row.unchanged != 0,
        "nothing was trained": row.moved == 0,
        "D makes no difference": _difference(before, trained) == 0,
        "fold changed it": not row.folded < max(NEAR, 2 * row.nudged),
        "the untouched one differs": row.reloaded != 0,
    }
    row.result = ", ".join(fault for fault, found in faults.items() if found) or "ok"


def _make_random(model: keras.Model, random: np.random.Generator) -> None:
    """Scales such as 1e-6, and zeros, would hide what lies behind them."""
    for variable in model.variables:
        if "gamma" in variable.name or "scale" in variable.name:
            variable.assign(1 + 0.1 * random.normal(size=variable.shape))


def _inputs(model: keras.Model, random: np.random.Generator) -> Any:
    def one(tensor: Any) -> Any:
        shape = [2, *(8 if size is None else size for size in tensor.shape[1:])]
        if "int" in tensor.dtype:
            return keras.ops.ones(shape, tensor.dtype)
        return keras.ops.convert_to_tensor(random.normal(size=shape).astype(tensor.dtype))

    return keras.tree.map_structure(one, model.input)


def _nudged(x: Any) -> Any:
    return x if "int" in str(x.dtype) else keras.ops.multiply(x, 1 + 1e-6)


def _run(model: keras.Model, x: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(model(x, training=False))]


def _difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def _train_a_step(model: keras.Model, x: Any) -> None:
    outputs = model(x, training=False)
    targets = keras.tree.map_structure(keras.ops.zeros_like, outputs)
    loss: Callable[..., Any] | str = keras.tree.map_structure(lambda _: "mse", outputs)
    model.compile(keras.optimizers.SGD(0.01), loss=loss, run_eagerly=True, jit_compile=False)
    model.train_on_batch(x, targets)


def main() -> int:
    """Write the report; the exit status says whether a network failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--all", action="store_true", help="every member of each family")
    parser.add_argument("--only", default="", help="a part of the names")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", module="keras")
    failed = 0
    with given.report.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)])
        table.writeheader()
        for network in networks(everything=given.all):
            if given.only not in f"{network.zoo} {network.name}":
                continue
            row = examine(network)
            table.writerow(asdict(row))
            file.flush()
            sys.stdout.write("  ".join(map(str, asdict(row).values())) + "\n")
            sys.stdout.flush()
            failed += row.result not in ("ok", "nothing to convert", "too large")
    sys.stdout.write(f"{failed} failed\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
