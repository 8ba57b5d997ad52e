"""The authors' checkpoints (yangyanli/DO-Conv), into a model of Gluon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from doconv_core import messages
from doconv_core.files.placement import Place, place
from doconv_gluon import messages as gluon_messages
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
        checkpoint: arrays, MXNet's or NumPy's, ``mx.nd.load(file)``, by the names that
            ``save_parameters`` gives ("features.0.weight"), or by the parameters' own, which
            ``collect_params().save``, ``export`` and older versions' ``save_params`` give
            ("resnetv10_conv0_weight", or without the network's prefix).
        source: whose layers it holds, "torch", "tf" or "gluon". Of "torch" and "tf", whose other
            layers Gluon does not share, give the DO-Conv layers' arrays only, renamed:
            "features.0.W" and "features.0.D", or "features.0/kernel" and "features.0/D".

    Raises:
        ValueError: a layer or parameter is missing on either side, does not fit, is not
            expressible, or is called otherwise in the model; the model has no values yet, or a
            Trainer keeps them on the servers of a distributed kvstore. The model is then as it was.

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
    if source == "gluon":
        arrays = _by_structure(model, convolutions, arrays)
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


def _by_structure(
    model: Any, convolutions: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """A checkpoint by the names of ``save_parameters``, whichever names it came by.

    Raises:
        ValueError: it goes by parameters' own names, and has others than the model's.
    """
    parameters = model._collect_params_with_prefix()
    if any("." in key or key in parameters for key in arrays):  # as load_parameters tells them
        return dict(arrays)
    keys: dict[str, list[str]] = {}
    for key, parameter in parameters.items():
        keys.setdefault(parameter.name.removeprefix(model.prefix), []).append(key)
    for name, block in convolutions.items():
        own = block.weight.name.removeprefix(model.prefix).removesuffix("weight") + "D"
        if getattr(block, "D", None) is None:  # of a layer that is plain here
            keys.setdefault(own, []).append(f"{name}.D" if name else "D")
    # "arg:" and "aux:" are export's; the number of the network's prefix counts those made before.
    plain = {key.removeprefix("arg:").removeprefix("aux:"): key for key in arrays}
    prefix = re.compile(rf"{re.escape(model.prefix.rstrip('_0123456789'))}\d*_")
    if model.prefix and all(prefix.match(name) for name in plain):
        plain = {prefix.sub("", name, count=1): key for name, key in plain.items()}
    unexpected = sorted(plain.keys() - keys.keys())
    if unexpected:
        known = {name for name, own in keys.items() if set(own) & parameters.keys()}
        raise ValueError(
            gluon_messages.names_of_parameters(sorted(known - plain.keys()), unexpected)
        )
    return {key: arrays[origin] for name, origin in plain.items() for key in keys[name]}
