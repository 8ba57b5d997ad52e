"""The authors' checkpoints (yangyanli/DO-Conv), into a model of PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from doconv_core import DOConvSpec, LayerState
from doconv_core.files.placement import Place, place
from doconv_torch.layers.arrays import OverParameterized, to_float64, to_tensor
from doconv_torch.layers.families import family_of
from doconv_torch.model.walk import candidates, over_parameterized


def load_official(
    model: nn.Module, checkpoint: Mapping[str, Any], *, source: str = "torch"
) -> None:
    """Load a checkpoint of the authors' layers into a model of the same architecture.

    A DO-Conv layer of the checkpoint goes to the model's convolution of the same name, whichever
    that is. One that is over-parameterized takes W and D, and training goes on. A plain one takes
    the kernel that they compose to, as if the layer had been folded before: so a whole model that
    is to be deployed, and the grouped layers of the authors' PyTorch code, which no DO-Conv layer
    can compute; leave those plain by ``convert(model, where=...)``.

    Everything else (batch norms, plain layers) is loaded as ``model.load_state_dict`` does it,
    strictly.

    Args:
        model: a model with the checkpoint's layer names.
        checkpoint: a state dict, of tensors or NumPy arrays; the layers' identities, ``d_diag`` or
            in older files ``D_diag``, may be in it.
        source: whose layers it holds, "torch", "tf" or "gluon". Of the latter two, whose other
            layers PyTorch does not share, give the DO-Conv layers' arrays only, renamed:
            "block.conv/kernel" and "block.conv/D", or "block.conv.weight" and "block.conv.D".

    Raises:
        ValueError: a layer is missing on either side, does not fit, or is not expressible.
        RuntimeError: from ``load_state_dict``. In either case the model is as it was.

    Numerics: a plain layer's kernel is composed in float64 and rounded once to its type.

    Example:
        >>> import torch
        >>> from doconv_torch import DOConv2d
        >>> checkpoint = {"0.W": torch.ones(8, 3, 9), "0.D": torch.zeros(3, 9, 9)}
        >>> trainable = nn.Sequential(DOConv2d(3, 8, 3, bias=False))
        >>> load_official(trainable, checkpoint)
        >>> deployed = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False))
        >>> load_official(deployed, checkpoint)
    """
    convolutions = _convolutions(model)
    arrays = {
        key: to_float64(value) if isinstance(value, Tensor) else value
        for key, value in checkpoint.items()
        if isinstance(value, (Tensor, np.ndarray))
    }
    places = {name: _place(convolution) for name, convolution in convolutions.items()}
    state, others = place(arrays, source, "torch", places)
    ours = arrays.keys() - set(others)
    given = {
        key: to_tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in checkpoint.items()
        if key not in ours
    }
    for name, layer in state.items():
        given |= _in_state_dict(name, convolutions[name], layer)
    before = copy.deepcopy(model.state_dict())
    try:
        model.load_state_dict(given, strict=source == "torch")
    except RuntimeError:  # it has loaded what it could
        model.load_state_dict(before)
        raise


def _convolutions(model: nn.Module) -> dict[str, OverParameterized]:
    """Every convolution by every name, the plain ones as if with nothing but their weight."""
    converted = {layer.module: layer for layer in over_parameterized(model)}
    found = {}
    for names, module, *_ in candidates(model):
        family = family_of(module)
        spec = None if family is None else family.spec_of(module)
        if not isinstance(spec, DOConvSpec):
            continue  # CondConv, which the authors do not have, and what has no sizes
        for name in names:
            if module in converted:
                found[name] = converted[module]
            elif "weight" in module._parameters:  # not recomputed, by weight_norm or the like
                found[name] = OverParameterized(name, module, spec, module.weight, None, None)
    return found


def _place(convolution: OverParameterized) -> Place:
    module, weight = convolution.module, convolution.weight
    over_parameterized = convolution.family is not None
    dtype = str(weight.dtype).removeprefix("torch.")
    return Place(convolution.spec.expert, over_parameterized, module.bias is not None, dtype)


def _in_state_dict(
    name: str, convolution: OverParameterized, state: LayerState
) -> dict[str, Tensor]:
    tensors = convolution.write_W(state.W)
    for parameter, array in ((convolution.D, state.D), (convolution.module.bias, state.bias)):
        if parameter is not None and array is not None:
            tensors.append((parameter, to_tensor(array)))
    # By identity: a parametrized module has its arrays under other keys.
    own = convolution.module.state_dict(keep_vars=True, prefix=name and f"{name}.")
    keys = {id(parameter): key for key, parameter in own.items()}
    return {keys[id(parameter)]: tensor for parameter, tensor in tensors}
