"""The authors' checkpoints (yangyanli/DO-Conv), into a model of tf_keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from doconv_keras.model import official
from doconv_tf_keras.layers.families import DOCONV, family_of
from doconv_tf_keras.layers.nesting import check_tf_keras
from doconv_tf_keras.layers.swapping import check_changeable


def load_official(
    model: tf_keras.layers.Layer, checkpoint: Mapping[str, Any], *, source: str = "tf"
) -> None:
    """Load a checkpoint of the authors' layers into a model of the same architecture.

    A DO-Conv layer of the checkpoint goes to the model's convolution of the same name, whichever
    that is. One that is over-parameterized takes W and D, and training goes on. A plain one takes
    the kernel that they compose to, as if the layer had been folded before: so a whole model that
    is to be deployed, and the grouped layers of the authors' PyTorch code, which no DO-Conv layer
    can compute; leave those plain by ``convert(model, where=...)``.

    Everything else (batch norms, plain layers) is loaded strictly: the checkpoint and the model
    must have the same variables.

    Args:
        model: a built model.
        checkpoint: arrays by path, "block/conv/kernel:0" or without the ":0", with the model's
            layer names as ``get_state`` has them.
        source: whose layers it holds, "torch", "tf" or "gluon". Of "torch" and "gluon", whose
            other layers tf_keras does not share, give the DO-Conv layers' arrays only, renamed:
            "block/conv.W" and "block/conv.D", or "block/conv.weight" and "block/conv.D".

    Raises:
        ValueError: a layer or variable is missing on either side, does not fit, or is not
            expressible. The model is then as it was.

    Numerics: a plain layer's kernel is composed in float64 and rounded once to its type.

    Example:
        >>> import numpy as np
        >>> from doconv_tf_keras import convert
        >>> conv = tf_keras.layers.Conv2D(8, 3, use_bias=False, name="conv")
        >>> model = tf_keras.Sequential([tf_keras.Input((9, 9, 3)), conv])
        >>> checkpoint = {"conv/kernel:0": np.ones((9, 3, 8)), "conv/D:0": np.zeros((9, 9, 3))}
        >>> load_official(convert(model), checkpoint)  # to train it further
        >>> load_official(model, checkpoint)  # to deploy it
    """
    check_tf_keras(model)
    check_changeable(model)
    official.load_official(family_of, DOCONV, _own_name, model, checkpoint, source)


def _own_name(variable: Any) -> str:
    """Of "conv/kernel:0" it is "kernel"."""
    return str(variable.name.rpartition("/")[2].removesuffix(":0"))
