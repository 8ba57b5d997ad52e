"""A layer's change of class, in place: from the host's to ours and back.

The kernel stays in the attribute in which the host keeps it, which a property of our class
overrides. So everything that holds the layer (a functional graph, lists, attributes, a
checkpoint's object graph) goes on holding it, and sharing and names stay.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from doconv_core.kernel.initialization import Start
from doconv_keras.layers.hosts import change_class
from doconv_keras.tensors.initialization import DEFAULT
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.arrays import compensate_
from doconv_tf_keras.layers.hosts import becomes
from doconv_tf_keras.tensors.initialization import random_state_kept


def check_changeable(model: tf_keras.layers.Layer) -> None:
    """Raise ValueError where no array has values yet, or each replica would change its own.

    A replica's ``fold`` would write its kernels, and find the layers folded that another replica
    shares with it: the replicas would then differ.
    """
    fault = ""
    if not tf.executing_eagerly():
        fault = "a graph is being traced"
    elif tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
        fault = "called by a replica"
    if fault:
        raise ValueError(tf_keras_messages.changed_from_within(model.name, fault))


@random_state_kept()
def over_parameterize(
    layers: list[tf_keras.layers.Layer], D_mul: int | str | None, start: Start = DEFAULT
) -> None:
    """Turn host layers into DO-Conv layers: all of them or none."""
    changed: list[Any] = []
    try:
        for layer in layers:
            change_class(layer, becomes(type(layer)))
            changed.append(layer)
            layer.over_parameterize_(D_mul, start=start)
    except BaseException:  # an initializer of the user's own, or an interrupt
        for layer in changed:
            layer.restore_()
        raise
    if start.W_extra == "random":
        for layer in changed:
            compensate_(layer)


def drop_D(layer: Any) -> None:
    """Take D and W_extra away from a layer: as variables, and from its checkpoints and losses."""
    for name in ("D", "W_extra"):
        if name not in vars(layer):
            continue
        variable = vars(layer)[name]
        delattr(layer, name)
        if variable is not None:
            # A layer's own __delattr__ (tf_keras 2.21) leaves the dependency, and with it a D that
            # nobody trains in every later checkpoint.
            layer._delete_tracking(name)
            layer._callable_losses[:] = [
                loss for loss in layer._callable_losses if not _is_of(loss, variable)
            ]


def _is_of(loss: Any, variable: Any) -> bool:
    """Whether a penalty is that of a variable, which add_weight has bound to it."""
    return any(part is variable or _is_of(part, variable) for part in getattr(loss, "args", ()))
