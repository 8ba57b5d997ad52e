"""The neutral state of a model: its DO-Conv layers, for any framework."""

from __future__ import annotations

import tf_keras

from doconv_core import State
from doconv_keras.model import state as states
from doconv_tf_keras.layers.arrays import to_numpy
from doconv_tf_keras.layers.families import family_of
from doconv_tf_keras.layers.nesting import check_tf_keras
from doconv_tf_keras.layers.swapping import check_changeable
from doconv_tf_keras.model.walk import layers


def get_state(model: tf_keras.layers.Layer) -> State:
    """Copy the arrays of every DO-Conv layer, in the canonical layout.

    Args:
        model: any built layer or model; its other variables are not included.

    Returns:
        Layer name ("block/conv") -> :class:`doconv_core.LayerState`. bfloat16, which NumPy
        lacks, comes as float32 (exactly). Of a separable layer it is the depthwise part; the
        bias, which follows the pointwise part, is not included.

    Example:
        >>> from doconv_tf_keras import DOConv2D
        >>> model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), DOConv2D(8, 3, name="conv")])
        >>> get_state(model)["conv"].W.shape
        (8, 3, 9)
    """
    check_tf_keras(model)
    return states.get_state(to_numpy, family_of, layers(model))


def set_state(model: tf_keras.layers.Layer, state: State) -> None:
    """Write a neutral state into a converted model, casting to its types.

    Args:
        model: a model with the same DO-Conv layers, under the same names.
        state: as from ``get_state``, in any framework.

    Raises:
        ValueError: a layer is missing, unexpected or of another size. Nothing is written then.
    """
    check_tf_keras(model)
    check_changeable(model)
    states.set_state(to_numpy, family_of, layers(model), state)
