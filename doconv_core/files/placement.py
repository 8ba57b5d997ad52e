"""Where the layers of an official checkpoint go in a model, whatever its framework.

A layer goes to the model's convolution of the same name. An over-parameterized one takes its W and
D. A plain one takes its kernel: so what no DO-Conv layer can compute, their grouped PyTorch layers,
still has a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from doconv_core import messages
from doconv_core.kernel.initialization import over_parameterize
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.model.state import LayerState, State
from doconv_core.official import OfficialLayer, read


class Place(NamedTuple):
    """A convolution of a model."""

    spec: DOConvSpec
    """Of a plain one too, with D_mul=None."""

    over_parameterized: bool

    bias: bool
    """Whether it has one."""

    dtype: str
    """Of its weight: what a kernel is rounded to."""


def place(
    checkpoint: Mapping[str, NDArray[Any]],
    source: str,
    host: str,
    model: Mapping[str, Place],
) -> tuple[State, list[str]]:
    """What each convolution of a model gets from an official checkpoint.

    Args:
        checkpoint: the whole checkpoint, as :func:`doconv_core.official.read` takes it.
        source: whose format it is, "torch", "tf" or "gluon".
        host: whose names and layouts the model's other parameters have, one of the same three.
        model: its convolutions by name.

    Returns:
        Layer name to arrays: W and D of an over-parameterized layer; of a plain one the kernel as
        W, with D = 0. And the checkpoint's keys that are of no such layer, for the host to load
        in its own way; none if ``source`` is not ``host``.

    Raises:
        ValueError: an over-parameterized layer is missing in the checkpoint or is not
            expressible, a layer of it is missing in the model or of another size there, or keys
            are left over in a format that is not the host's.
    """
    layers = {
        name: layer
        for name, layer in read(checkpoint, source).items()
        if name in model or layer.D is not None  # else a W of some other kind of layer
    }
    trained = {name for name, own in model.items() if own.over_parameterized and own.spec.has_D}
    missing, unexpected = sorted(trained - layers.keys()), sorted(layers.keys() - model.keys())
    if missing or unexpected:
        raise ValueError(messages.files.official_names(missing, unexpected))
    state = {name: _state(layer, model[name]) for name, layer in layers.items()}
    placed = {key for layer in layers.values() for key in layer.keys}
    others = [key for key in checkpoint if key not in placed]
    if others and source != host:
        raise ValueError(messages.files.official_others(source, others))
    return state, others


def _state(layer: OfficialLayer, own: Place) -> LayerState:
    spec, bias = own.spec, layer.bias
    same_bias = (bias is not None) == own.bias
    if same_bias and not spec.transposed and layer.groups in (None, spec.groups):
        if own.over_parameterized:
            state = layer.state(spec.kernel_size, spec.groups)
            if state.spec == spec:
                return state
        elif (kernel := layer.kernel(own.dtype)).shape == spec.kernel_shape:
            return LayerState(spec, *over_parameterize(spec, kernel), bias)
    shapes = {
        "W.shape": layer.W.shape,
        "D.shape": None if layer.D is None else layer.D.shape,
        "bias": bias is not None,
    }
    raise ValueError(messages.files.official_misfit(layer.name, shapes, spec, own.bias))
