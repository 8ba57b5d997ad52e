"""A layer's change of class, in place: from the host's to ours and back.

As Keras's own ``enable_lora`` does, this adds variables to a built layer instead of replacing it.
So everything that holds the layer (a functional graph, lists, attributes, an optimizer's slots
for its kernel) goes on holding it, and sharing and names stay.
"""

from __future__ import annotations

import keras

from doconv_tf.base import DOConvBase
from doconv_tf.eligibility import HOSTS


def over_parameterize(layers: list[keras.layers.Layer], D_mul: int | None) -> None:
    """Turn host layers into DO-Conv layers, all or none."""
    changed: list[DOConvBase] = []
    try:
        for layer in layers:
            cls = HOSTS[type(layer)]
            state = layer.__dict__
            if cls.kernel_name in state:  # Conv keeps it in `_kernel` already
                state["_kernel"] = state.pop(cls.kernel_name)
            layer.__class__ = cls
            changed.append(layer)
            layer._tracker.unlock()
            layer.over_parameterize_(D_mul, "kernel")
            layer._tracker.lock()
    except BaseException:  # an initializer of the user's own, or an interrupt
        for layer in changed:
            restore_class(layer)
        raise


def restore_class(layer: DOConvBase) -> None:
    """Back to the host's class and variables; the kernel keeps its value."""
    layer._tracker.unlock()
    for name in ("D", "W_extra"):
        if (variable := getattr(layer, name)) is not None:
            # As `del layer.D` without its gc.collect(), 0.1 s for each variable.
            layer._untrack_variable(variable)
            super(keras.layers.Layer, layer).__delattr__(name)
    layer._tracker.lock()
    state = layer.__dict__
    for name in ("D", "W_extra", "D_mul", "composition", "spec"):
        state.pop(name, None)
    layer._kernel._autocast = True
    host = type(layer).host
    if not isinstance(getattr(host, "kernel", None), property):
        state[layer.kernel_name] = state.pop("_kernel")
    layer.__class__ = host
