"""Keras: its own quantize("int8"), and TFLite's full-integer quantization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.int8.row import Row, pairs, percent

Images = NDArray[np.float32]
CALIBRATION = 256
"""Training images that ranges are taken from."""


def by_keras(model: keras.Model, calibration: Images, images: Images) -> Images:
    """The weights of dense layers, Keras 3.15's only ones of these, and what goes into them."""
    small = keras.models.clone_model(model)
    small.set_weights(model.get_weights())
    small.quantize("int8")
    return keras.ops.convert_to_numpy(small(images))


def by_tflite(model: keras.Model, calibration: Images, images: Images) -> Images:
    """Weights and activations, statically, integers from the input to the output."""
    with TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    scale, zero = taken["quantization"]
    integers = np.clip(np.round(images / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(taken["index"], integers)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])  # the largest stays the largest


TOOLS: dict[str, Callable[[Any, Images, Images], Images]] = {
    f"keras {version('keras')} quantize, dynamic": by_keras,
    f"TFLite (tensorflow {version('tensorflow-cpu')}), static": by_tflite,
}


def rows() -> Iterator[Row]:
    """Every tool on every pair."""
    for seed, plain, folded, data in pairs("keras"):
        calibration, images = map(channels_last, (data.train_images, data.test_images))
        for tool, quantize in TOOLS.items():
            accuracies = []
            for trainer in (plain, folded):
                outputs = quantize(trainer.model, calibration[:CALIBRATION], images)
                before = percent(trainer.logits(data.test_images), data)
                accuracies += [before, percent(outputs, data)]
            yield Row("Keras", tool, seed, *accuracies)


def channels_last(images: Images) -> Images:
    """As Keras takes them."""
    return np.moveaxis(images, 1, -1)
