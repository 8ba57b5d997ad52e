"""The authors' checkpoints (yangyanli/DO-Conv), into a model of Gluon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from doconv_core import messages
from doconv_core.files.placement import Place, place
from doconv_gluon.layers.arrays import check_writable, spec_of, write, write_W
from doconv_gluon.layers.hosts import host_of, is_convolution
from doconv_gluon.model.walk import named_blocks, over_parameterized


def load_official(model: Any, checkpoint: Mapping[str, Any], *, source: str = "gluon") -> None:
    """Load a checkpoint of the authors' layers into a model of the same architecture.

    A DO-Conv layer of the checkpoint goes to the model's convolution of the same name, whichever
    that is. One that is over-parameterized takes W and D, and training goes on. A plain one takes
    the kernel that they compose to, as if the layer had been folded before: so a whole model that
    is to be deployed, and the grouped layers of the authors' PyTorch code, which no DO-Conv layer
    can compute; leave those plain by ``convert(model, where=...)``.

    Everything else (batch norms, plain layers) is loaded strictly: the checkpoint and the model
    must have the same parameters.

    Args:
        model: any Block whose parameters have values.
        checkpoint: arrays, MXNet's or NumPy's, by the names that ``save_parameters`` gives:
            ``mx.nd.load(file)``.
        source: whose layers it holds, "torch", "tf" or "gluon". Of "torch" and "tf", whose other
            layers Gluon does not share, give the DO-Conv layers' arrays only, renamed:
            "features.0.W" and "features.0.D", or "features.0/kernel" and "features.0/D".

    Raises:
        ValueError: a layer or parameter is missing on either side, does not fit, or is not
            expressible, the model has no values yet, or a Trainer keeps them on the servers of a
            distributed kvstore. The model is then as it was.

    Numerics: a plain layer's kernel is composed in float64 and rounded once to its type.

    Example:
        >>> from doconv_gluon import convert
        >>> from mxnet.gluon import nn
        >>> net = nn.HybridSequential()
        >>> net.add(nn.Conv2D(8, 3, in_channels=3, use_bias=False))
        >>> net.initialize()
        >>> checkpoint = {"0.weight": np.ones((8, 3, 3, 3)), "0.D": np.zeros((9, 9, 3))}
        >>> load_official(convert(net), checkpoint)  # to train it further
        >>> load_official(net, checkpoint)  # to deploy it
    """
    parameters = model._collect_params_with_prefix()
    if any(parameter._data is None for parameter in parameters.values()):
        raise ValueError(messages.model.cannot_read("", messages.model.NO_VALUES_YET))
    converted = set(over_parameterized(model).values())
    convolutions = {  # the authors have no CondConv
        name: block
        for name, block in named_blocks(model)
        if host_of(type(block)) is not None or (is_convolution(block) and block in converted)
    }
    arrays = {
        key: value if isinstance(value, np.ndarray) else value.asnumpy()
        for key, value in checkpoint.items()
    }
    places = {name: _place(block, block in converted) for name, block in convolutions.items()}
    state, others = place(arrays, source, "gluon", places)
    if source == "gluon":
        written = {
            f"{name}.{parameter}" if name else parameter
            for name in state
            for parameter in convolutions[name]._reg_params
        }
        missing = sorted(parameters.keys() - written - set(others))
        unexpected = sorted(set(others) - parameters.keys())
        if missing or unexpected:
            raise ValueError(messages.files.official_variables(missing, unexpected))
    for key in others:
        if arrays[key].shape != parameters[key].shape:
            raise ValueError(
                messages.layer.bad_shape(key, arrays[key].shape, parameters[key].shape)
            )
    for key, parameter in parameters.items():
        check_writable(key.rpartition(".")[0], parameter)
    for key in others:
        write(parameters[key], arrays[key])
    for name, own in state.items():
        block = convolutions[name]
        write_W(block, own.spec, own.W)
        if getattr(block, "D", None) is not None:
            write(block.D, own.D)
        if own.bias is not None:
            write(block.bias, own.bias)


def _place(block: Any, converted: bool) -> Place:
    spec = block.spec if converted else spec_of(block)
    return Place(spec, converted, block.bias is not None, np.dtype(block.weight.dtype).name)
