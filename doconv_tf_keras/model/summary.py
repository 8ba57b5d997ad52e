"""What happened to a model, a row per convolution."""

from __future__ import annotations

from typing import Any

import tf_keras

from doconv_core import Summary
from doconv_keras.model import summary as rows
from doconv_tf_keras.layers.families import family_of
from doconv_tf_keras.layers.nesting import check_tf_keras
from doconv_tf_keras.model.walk import candidates


def summary(model: tf_keras.layers.Layer, inputs: Any = None) -> Summary:
    """A row per convolution: name, kind, K, S, parameters and MACs, or why it is plain.

    Args:
        model: any layer or model, converted or not. It is not changed.
        inputs: one batch as the model takes it, or its shape with the batch size as a tuple of
            integers. It is run once, in inference mode, to fill the multiply-accumulate columns;
            they count this batch. A layer called several times counts each time.

    Returns:
        The rows; printing them gives a table.

    Example:
        >>> layers = [tf_keras.layers.Conv2D(4, 3), tf_keras.layers.Conv2D(8, 1)]
        >>> model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), *layers])
        >>> [row.reason for row in summary(model)]
        ['not converted', 'one kernel element has nothing to over-parameterize']
    """
    check_tf_keras(model)
    return rows.summary(family_of, candidates(model), model, inputs)
