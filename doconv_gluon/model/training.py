"""Keeping a Trainer and a converted model together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from doconv_core import messages
from doconv_gluon import messages as gluon_messages

New = tuple[Any, list[Any]]
"""A weight, and the parameters that conversion put beside it."""


def add_parameters(trainer: Any, converted: Iterable[New]) -> None:
    """Let a Trainer update the new parameters of those weights that it updates.

    It is then as one that was built on the converted model, in whose files an optimizer's states
    go by position, and keeps the states that it has.
    """
    known = {id(parameter) for parameter in trainer._params}
    trained, added = list(trainer._params), []
    in_order = _names(trained) == sorted(_names(trained))  # as collect_params() gives them
    for weight, parameters in converted:
        if id(weight) not in known:  # the weight is not trained by this Trainer, so neither is D
            continue
        for parameter in parameters:
            if id(parameter) not in known:  # layers that share a weight share its D
                known.add(id(parameter))
                added.append(parameter)
                trained.insert(_after_layer(trained, weight), parameter)
    if not _is_bound(trainer):
        _rearrange(trainer, sorted(trained, key=lambda each: each.name) if in_order else trained)
        return
    for parameter in added:
        _append(trainer, parameter)
    if added:
        warnings.warn(gluon_messages.states_by_position(len(added)), UserWarning, stacklevel=3)


def retire(layers: Sequence[Any]) -> None:
    """Take D and W_extra of layers that are to be folded out of their Trainers.

    With zeros in them, a graph that was traced before (an outer block's) computes the plain
    layer. A Trainer that cannot forget them passes over them.
    """
    gone = [p for layer in layers for p in (layer.D, layer.W_extra) if p is not None]
    trainers = {each._trainer for each in (*gone, *(layer.weight for layer in layers))} - {None}
    for parameter in gone:
        for data in parameter.list_data():
            data[:] = 0
        parameter.grad_req = "null"
    unwanted = {id(parameter) for parameter in gone}
    for trainer in trainers:
        if not _is_bound(trainer):
            _rearrange(trainer, [p for p in trainer._params if id(p) not in unwanted])


def _is_bound(trainer: Any) -> bool:
    """Whether it keeps arrays by position where they cannot be moved: servers, a user's store."""
    store = trainer._kvstore
    return store is not None and (
        "dist" in store.type or store is trainer._kvstore_params["kvstore"]
    )


def _rearrange(trainer: Any, parameters: list[Any]) -> None:
    """Let a Trainer have these parameters, in this order, as if it had been built on them.

    MXNet 1.9.1 has no public way to do that. What its optimizer knows of a parameter goes with it.
    """
    before = {id(parameter): index for index, parameter in enumerate(trainer._params)}
    moved = {
        before[id(parameter)]: index
        for index, parameter in enumerate(parameters)
        if id(parameter) in before
    }

    def rearranged(known: dict[int, Any]) -> dict[int, Any]:
        return {moved[index]: value for index, value in known.items() if index in moved}

    for updater in _updaters(trainer):
        updater.states = rearranged(updater.states)
        updater.states_synced = rearranged(updater.states_synced)
    optimizer = trainer._optimizer
    for counts in optimizer._all_index_update_counts.values():
        new = rearranged(counts)
        counts.clear()
        counts.update(new)
    for parameter in trainer._params:
        parameter._set_trainer(None)
    for parameter in parameters:
        parameter._set_trainer(trainer)
    trainer._params = parameters
    trainer._param2idx = {parameter.name: index for index, parameter in enumerate(parameters)}
    optimizer.param_dict = dict(enumerate(parameters))
    if trainer._kv_initialized:  # its store has arrays by position, and takes each but once
        stored = _updaters(trainer)[len(trainer._updaters) :]
        trainer._reset_kvstore()
        trainer._init_kvstore()
        for new, old in zip(_updaters(trainer)[len(trainer._updaters) :], stored, strict=True):
            new.states, new.states_synced = old.states, old.states_synced
    else:
        trainer._reset_kvstore()


def _updaters(trainer: Any) -> list[Any]:
    """What has the optimizer's states: one for each device, and that of a local store."""
    stored = getattr(trainer._kvstore, "_updater", None)
    return [*trainer._updaters, *([] if stored is None else [stored])]


def _append(trainer: Any, parameter: Any) -> None:
    """What ``Trainer.__init__`` does with each parameter, with one at the end."""
    index = trainer._param2idx.get(parameter.name)
    if index is not None:  # folding has left one of this name, by which a Trainer finds it
        retired = trainer._params[index]
        retired.name = f"{parameter.name}_{index}_folded"
        trainer._param2idx[retired.name] = index
    index = len(trainer._params)
    trainer._params.append(parameter)
    trainer._param2idx[parameter.name] = index
    trainer._params_to_init.append(parameter)
    trainer._optimizer.param_dict[index] = parameter
    parameter._set_trainer(trainer)


def _after_layer(parameters: list[Any], weight: Any) -> int:
    """Where a layer's parameters end."""
    layer = weight.name.removesuffix("weight")
    own = {f"{layer}{name}" for name in ("weight", "bias", "D")}
    return 1 + max(i for i, p in enumerate(parameters) if p is weight or p.name in own)


def _names(parameters: list[Any]) -> list[str]:
    return [parameter.name for parameter in parameters]


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
