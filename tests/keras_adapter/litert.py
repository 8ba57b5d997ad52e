"""A TFLite file, run by the interpreter that TensorFlow comes with."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import tensorflow as tf


class Interpreter:
    """A model of one input and one output; integer ones are given and taken as numbers.

    Attributes:
        operators: how many there are of each kind.
        inputs: the type of its input.
    """

    def __init__(self, content: bytes) -> None:
        with warnings.catch_warnings():
            # TensorFlow 2.21 sends users to ai-edge-litert, a package of its own, for the same.
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
            # Without the delegate, which would stand for all the operators that it takes.
            self._interpreter = tf.lite.Interpreter(
                model_content=content,
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        self._interpreter.allocate_tensors()
        self.operators = Counter(op["op_name"] for op in self._interpreter._get_ops_details())
        self.inputs = self._interpreter.get_input_details()[0]["dtype"]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        (taken,), (given,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self._interpreter.resize_tensor_input(taken["index"], x.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(taken["index"], _to(x, taken))
        self._interpreter.invoke()
        return _from(self._interpreter.get_tensor(given["index"]), given)


def _to(x: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero = details["quantization"]
    if not scale:
        return x
    bounds = np.iinfo(details["dtype"])
    return np.clip(np.round(x / scale) + zero, bounds.min, bounds.max).astype(details["dtype"])


def _from(y: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero = details["quantization"]
    return y if not scale else (y.astype(np.float32) - zero) * scale
