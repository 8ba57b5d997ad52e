"""Networks of keras.applications, keras-hub and kimm: convert, train a step, fold, load.

python -m tests.zoo.keras REPORT [--all] [--only WORD] [--resume]

The report is a table of comma-separated values (:mod:`tests.zoo.report`). Nothing is downloaded.
The program fails where a row does.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from doconv_tf import convert, fold, summary
from doconv_tf.model.walk import over_parameterized
from tests.zoo.examination import Zoo
from tests.zoo.keras_networks import HUGE, Network, networks
from tests.zoo.report import main


class Keras3(Zoo):
    """How networks of Keras 3 are run, trained and saved."""

    packages = ("keras", "keras-hub", "kimm", "tensorflow-cpu", "numpy")

    def networks(self, given: Any) -> Iterable[Network]:
        return networks(everything=given.all)

    def make(self, network: Network) -> keras.Model:
        keras.utils.set_random_seed(0)
        model = network.make()
        if (parameters := model.count_params()) > HUGE:
            raise MemoryError(f"{parameters} parameters")
        return model

    def inputs(self, network: Network, model: Any, random: np.random.Generator) -> Any:
        def one(tensor: Any) -> Any:
            shape = [2, *(8 if size is None else size for size in tensor.shape[1:])]
            if "int" in tensor.dtype:
                return keras.ops.ones(shape, tensor.dtype)
            return keras.ops.convert_to_tensor(random.normal(size=shape).astype(tensor.dtype))

        return keras.tree.map_structure(one, model.input)

    def randomize(self, model: Any, random: np.random.Generator) -> None:
        for variable in model.variables:
            if "gamma" in variable.name or "scale" in variable.name:
                variable.assign(1 + 0.1 * random.normal(size=variable.shape))

    def run(self, model: Any, x: Any) -> list[np.ndarray]:
        outputs = keras.tree.flatten(model(x, training=False))
        return [keras.ops.convert_to_numpy(each) for each in outputs]

    def train(self, network: Network, model: Any, x: Any) -> None:
        outputs = model(x, training=False)
        targets = keras.tree.map_structure(keras.ops.zeros_like, outputs)
        loss: Any = keras.tree.map_structure(lambda _: "mse", outputs)
        # An untrained network's outputs may be 1e5: its weights survive a step no larger than that.
        largest = max(float(keras.ops.max(keras.ops.abs(y))) for y in keras.tree.flatten(outputs))
        optimizer = keras.optimizers.SGD(0.01 / max(1.0, largest) ** 2)
        model.compile(optimizer, loss=loss, run_eagerly=True, jit_compile=False)
        model.train_on_batch(x, targets)

    def convert(self, network: Network, model: Any, row: Any) -> Any:
        try:
            return convert(model)
        except ValueError as error:
            row.copied = str(error).partition("fault=")[2].partition(". Pass")[0]
            if not row.copied:
                raise
        other = self.make(network)
        other.set_weights(model.get_weights())
        return convert(other, inplace=True)

    def fold(self, model: Any) -> Any:
        try:
            return fold(model)
        except ValueError as error:
            if "cannot be copied" not in str(error):
                raise
            return fold(model, inplace=True)

    def summary(self, model: Any) -> Any:
        return summary(model)

    def pairs(self, model: Any) -> list[tuple[Any, Any]]:
        return [(layer._kernel, layer.D) for _, layer in over_parameterized(model)]

    def variables(self, model: Any) -> list[Any]:
        return [each for each in model.variables if "float" in each.dtype]

    def read(self, variable: Any) -> np.ndarray:
        return np.array(keras.ops.convert_to_numpy(variable.value))

    def write(self, variable: Any, value: np.ndarray) -> None:
        variable.assign(value)

    def reload(self, network: Network, folded: Any, folder: str) -> keras.Model:
        path = Path(folder, "folded.weights.h5")
        folded.save_weights(path)
        untouched = network.make()
        untouched.load_weights(path)
        return untouched


def _choose(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="every member of each family")


if __name__ == "__main__":
    sys.exit(main(Keras3(), __doc__, _choose))
