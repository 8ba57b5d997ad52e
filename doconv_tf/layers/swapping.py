"""A layer's change of class, in place: from the host's to ours and back.

As Keras's own ``enable_lora`` does, this adds variables to a built layer instead of replacing it.
So everything that holds the layer (a functional graph, lists, attributes, an optimizer's slots
for its kernel) goes on holding it, and sharing and names stay.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from doconv_core.kernel.initialization import Start
from doconv_keras.layers.hosts import change_class
from doconv_keras.tensors.initialization import DEFAULT
from doconv_tf import messages as keras_messages
from doconv_tf.layers.arrays import compensate_
from doconv_tf.layers.hosts import becomes
from doconv_tf.tensors.initialization import made_where, random_state_kept


def check_changeable(model: keras.layers.Layer) -> None:
    """Raise ValueError where no array has values yet, or each replica would change its own.

    A replica's ``fold`` would write its kernels, and find the layers folded that another replica
    shares with it: the replicas would then differ.
    """
    try:
        ops.convert_to_numpy(ops.zeros(()))
        for variable in model.variables[:1]:
            with made_where(variable):
                pass
    except Exception as error:  # each backend has its own
        fault = str(error).splitlines()[0] or type(error).__name__
        raise ValueError(keras_messages.changed_from_within(model.name, fault)) from error


@random_state_kept()
def over_parameterize(
    layers: list[keras.layers.Layer], D_mul: int | str | None, start: Start = DEFAULT
) -> None:
    """Turn host layers into DO-Conv layers, and give CondConv layers their D, all or none."""
    changed: list[Any] = []
    try:
        for layer in layers:
            if (cls := becomes(type(layer))) is not None:
                state = layer.__dict__
                if cls.kernel_name in state:  # Conv keeps it in `_kernel` already
                    state["_kernel"] = state.pop(cls.kernel_name)
                change_class(layer, cls)
            changed.append(layer)
            layer._tracker.unlock()
            layer.over_parameterize_("K" if D_mul is None else D_mul, start=start)
            layer._tracker.lock()
    except BaseException:  # an initializer of the user's own, or an interrupt
        for layer in changed:
            layer.restore_()
        raise
    if start.W_extra == "random":
        for layer in changed:
            compensate_(layer)


def drop_D(layer: Any) -> None:
    """Take D and W_extra away from a layer."""
    layer._tracker.unlock()
    for name in ("D", "W_extra"):
        if (variable := getattr(layer, name, None)) is not None:
            # As `del layer.D` without its gc.collect(), 0.1 s for each variable.
            layer._untrack_variable(variable)
            super(keras.layers.Layer, layer).__delattr__(name)
    layer._tracker.lock()
