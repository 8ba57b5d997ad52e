"""The authors' checkpoints (yangyanli/DO-Conv), into a model of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from doconv_core import DOConvSpec, LayerState, messages
from doconv_core.files.placement import Place, place
from doconv_keras.official import matched
from doconv_tf.layers.arrays import write_W
from doconv_tf.layers.families import family_of, write_kernel
from doconv_tf.layers.nesting import check_keras, named_layers
from doconv_tf.layers.swapping import check_changeable


def load_official(
    model: keras.layers.Layer, checkpoint: Mapping[str, Any], *, source: str = "tf"
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
            other layers Keras does not share, give the DO-Conv layers' arrays only, renamed:
            "block/conv.W" and "block/conv.D", or "block/conv.weight" and "block/conv.D".

    Raises:
        ValueError: a layer or variable is missing on either side, does not fit, or is not
            expressible. The model is then as it was.

    Numerics: a plain layer's kernel is composed in float64 and rounded once to its type.

    Example:
        >>> from doconv_tf import convert
        >>> conv = keras.layers.Conv2D(8, 3, use_bias=False, name="conv")
        >>> model = keras.Sequential([keras.Input((9, 9, 3)), conv])
        >>> checkpoint = {"conv/kernel:0": np.ones((9, 3, 8)), "conv/D:0": np.zeros((9, 9, 3))}
        >>> load_official(convert(model), checkpoint)  # to train it further
        >>> load_official(model, checkpoint)  # to deploy it
    """
    check_keras(model)
    check_changeable(model)
    layers = named_layers(model)
    found = {name: _place(layer) for name, layer in layers.items()}
    places = {name: where for name, where in found.items() if where is not None}
    arrays = {key: np.asarray(value) for key, value in checkpoint.items()}
    state, others = place(arrays, source, "tf", places)
    values: list[tuple[Any, NDArray[Any]]] = []
    if source == "tf":
        placed = {id(v) for name in state for v in layers[name].weights}
        variables = {path: v for path, v in _variables(layers).items() if id(v) not in placed}
        values = matched(variables, {key.removesuffix(":0"): arrays[key] for key in others})
    for variable, array in values:
        variable.assign(array)
    for name, own in state.items():
        _write(layers[name], own)


def _place(layer: keras.layers.Layer) -> Place | None:
    """Of a convolution; the authors have no CondConv, and a subclass loads as all else does."""
    family = family_of(layer)
    spec = None if family is None else family.spec_of(layer)
    if family is None or not isinstance(spec, DOConvSpec):
        return None
    if family.why_plain(layer) == messages.model.OWN_FORWARD and not family.holds(layer):
        return None
    bias = layer.use_bias and not hasattr(layer, "pointwise_kernel")
    return Place(spec, family.holds(layer), bias, layer.variable_dtype)


def _write(layer: keras.layers.Layer, state: LayerState) -> None:
    family = family_of(layer)
    if family is not None and family.holds(layer):
        write_W(layer, state.W)
        if layer.D is not None:
            layer.D.assign(state.D)
    else:
        write_kernel(layer, state.W)
    if state.bias is not None:
        layer.bias.assign(state.bias)


def _variables(layers: Mapping[str, keras.layers.Layer]) -> dict[str, Any]:
    """Every variable by path: its layer's name, then its own."""
    # Holders come before what they hold, and list those variables too.
    holder = {id(v): (name, v) for name, layer in layers.items() for v in layer.weights}
    return {f"{name}/{v.name}" if name else v.name: v for name, v in holder.values()}
