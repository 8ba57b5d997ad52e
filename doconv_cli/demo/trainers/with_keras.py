"""The demo in Keras 3, on whichever backend Keras runs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import doconv_tf
from doconv_cli.demo.trainers.keras_trainer import KerasTrainer


class DemoTrainer(KerasTrainer):
    keras, adapter = keras, doconv_tf

    @staticmethod
    def to_numpy(tensor: Any) -> NDArray[np.float32]:
        array: NDArray[np.float32] = keras.ops.convert_to_numpy(tensor)
        return array
