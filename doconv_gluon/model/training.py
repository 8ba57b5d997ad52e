"""Keeping a Trainer and a converted model together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from doconv_core import messages

New = tuple[Any, list[Any]]
"""A weight, and the parameters that conversion put beside it."""


def add_parameters(trainer: Any, converted: Iterable[New]) -> None:
    """Let a Trainer update the new parameters of those weights that it updates.

    Its optimizer's state for everything else stays. Does what ``Trainer.__init__`` does with each
    parameter, since MXNet 1.9.1 has no public way to add one.
    """
    known = {id(parameter) for parameter in trainer._params}
    for weight, parameters in converted:
        if id(weight) not in known:  # the weight is not trained by this Trainer, so neither is D
            continue
        for parameter in parameters:
            if id(parameter) in known:  # layers that share a weight share its D
                continue
            known.add(id(parameter))
            _make_way(trainer, parameter.name)
            index = len(trainer._params)
            trainer._params.append(parameter)
            trainer._param2idx[parameter.name] = index
            trainer._params_to_init.append(parameter)
            trainer._optimizer.param_dict[index] = parameter
            parameter._set_trainer(trainer)


def _make_way(trainer: Any, name: str) -> None:
    """Rename what folding has left in a Trainer; by its name the Trainer finds a parameter."""
    index = trainer._param2idx.get(name)
    if index is not None:
        retired = trainer._params[index]
        retired.name = f"{name}_{index}_folded"
        trainer._param2idx[retired.name] = index


def retire(parameters: Iterable[Any]) -> None:
    """Let a Trainer pass over parameters that folding takes away, which it has no way to drop.

    With zeros in them, a graph that was traced before (an outer block's) computes the plain
    layer.
    """
    for parameter in parameters:
        for data in parameter.list_data():
            data[:] = 0
        parameter.grad_req = "null"


def warn_if_not_trained(converted: Iterable[New]) -> None:
    """Warn where a Trainer has a weight but not the D that conversion put beside it."""
    forgotten = sum(
        any(weight._trainer is not None and new._trainer is not weight._trainer for new in news)
        for weight, news in converted
    )
    if forgotten:
        warnings.warn(
            messages.model.offset_not_trained(forgotten, "trainer"), UserWarning, stacklevel=3
        )
