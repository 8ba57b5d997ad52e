"""The authors' checkpoints (yangyanli/DO-Conv), into a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import DOConvSpec, LayerState, messages
from doconv_core.files.placement import Place, place
from doconv_keras.layers.arrays import write_W
from doconv_keras.layers.families import DOConvFamily
from doconv_keras.layers.nesting import Layer, named_layers
from doconv_keras.model.walk import FamilyOf


def load_official(
    family_of: FamilyOf,
    convolutions: DOConvFamily,
    own_name: Callable[[Any], str],
    model: Layer,
    checkpoint: Mapping[str, Any],
    source: str,
) -> None:
    """Load a checkpoint of the authors' layers into a model of the same architecture.

    Args:
        family_of: the adapter's.
        convolutions: those of its families that writes a plain kernel.
        own_name: of a variable, without the names of what holds it.
        model: see the adapters' function of this name.
        checkpoint: likewise.
        source: likewise.

    Raises:
        ValueError: something does not fit. Nothing is written then.
    """
    layers = named_layers(model)
    found = {name: _place(family_of, layer) for name, layer in layers.items()}
    places = {name: where for name, where in found.items() if where is not None}
    arrays = {key: np.asarray(value) for key, value in checkpoint.items()}
    state, others = place(arrays, source, "tf", places)
    values: list[tuple[Any, NDArray[Any]]] = []
    if source == "tf":
        placed = {id(v) for name in state for v in layers[name].weights}
        variables = _variables(own_name, layers).items()
        theirs = {path: v for path, v in variables if id(v) not in placed}
        values = _matched(theirs, {key.removesuffix(":0"): arrays[key] for key in others})
    for variable, array in values:
        variable.assign(array)
    for name, own in state.items():
        _write(family_of, convolutions, layers[name], own)


def _place(family_of: FamilyOf, layer: Layer) -> Place | None:
    """Of a convolution; the authors have no CondConv, and a subclass loads as all else does."""
    family = family_of(layer)
    spec = None if family is None else family.spec_of(layer)
    if family is None or not isinstance(spec, DOConvSpec):
        return None
    if family.why_plain(layer) == messages.model.OWN_FORWARD and not family.holds(layer):
        return None
    bias = layer.use_bias and not hasattr(layer, "pointwise_kernel")
    return Place(spec, family.holds(layer), bias, layer.variable_dtype)


def _write(
    family_of: FamilyOf, convolutions: DOConvFamily, layer: Layer, state: LayerState
) -> None:
    family = family_of(layer)
    if family is not None and family.holds(layer):
        write_W(layer, state.W)
        if layer.D is not None:
            layer.D.assign(state.D)
    else:
        convolutions.write_kernel(layer, state.W)
    if state.bias is not None:
        layer.bias.assign(state.bias)


def _variables(own_name: Callable[[Any], str], layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Every variable by path: its layer's name, then its own."""
    # Holders come before what they hold, and list those variables too.
    holder = {id(v): (name, v) for name, layer in layers.items() for v in layer.weights}
    own = ((name, own_name(v), v) for name, v in holder.values())
    return {f"{name}/{last}" if name else last: v for name, last, v in own}


def _matched(
    variables: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> list[tuple[Any, NDArray[Any]]]:
    """Each variable of a model with its array.

    Raises:
        ValueError: one is missing on either side, or of another shape.
    """
    missing, unexpected = variables.keys() - arrays.keys(), arrays.keys() - variables.keys()
    if missing or unexpected:
        raise ValueError(messages.files.official_variables(sorted(missing), sorted(unexpected)))
    for path, array in arrays.items():
        if array.shape != (expected := tuple(variables[path].shape)):
            raise ValueError(messages.layer.bad_shape(path, array.shape, expected))
    return [(variables[path], array) for path, array in arrays.items()]
