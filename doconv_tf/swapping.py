"""A layer's change of class, in place: from the host's to ours and back.

As Keras's own ``enable_lora`` does, this adds variables to a built layer instead of replacing it.
So everything that holds the layer (a functional graph, lists, attributes, an optimizer's slots
for its kernel) goes on holding it, and sharing and names stay.
"""

from __future__ import annotations

import keras

from doconv_tf.arrays import WithW
from doconv_tf.condconv_base import CondConvBase
from doconv_tf.eligibility import HOSTS


def over_parameterize(layers: list[keras.layers.Layer], D_mul: int | None) -> None:
    """Turn host layers into DO-Conv layers, and give CondConv layers their D, all or none."""
    changed: list[WithW] = []
    try:
        for layer in layers:
            if not isinstance(layer, CondConvBase):
                cls = HOSTS[type(layer)]
                state = layer.__dict__
                if cls.kernel_name in state:  # Conv keeps it in `_kernel` already
                    state["_kernel"] = state.pop(cls.kernel_name)
                layer.__class__ = cls
            changed.append(layer)
            layer._tracker.unlock()
            if isinstance(layer, CondConvBase):
                layer.over_parameterize_("K" if D_mul is None else D_mul)
            else:
                layer.over_parameterize_(D_mul, "kernel")
            layer._tracker.lock()
    except BaseException:  # an initializer of the user's own, or an interrupt
        for layer in changed:
            restore_class(layer)
        raise


def restore_class(layer: WithW) -> None:
    """Back to the host's class and variables, or to plain CondConv; the kernel keeps its value."""
    layer._tracker.unlock()
    for name in ("D", "W_extra"):
        if (variable := getattr(layer, name)) is not None:
            # As `del layer.D` without its gc.collect(), 0.1 s for each variable.
            layer._untrack_variable(variable)
            super(keras.layers.Layer, layer).__delattr__(name)
    layer._tracker.lock()
    if isinstance(layer, CondConvBase):
        layer.D = layer.W_extra = layer.D_mul = None
        return
    state = layer.__dict__
    for name in ("D", "W_extra", "D_mul", "composition", "spec"):
        state.pop(name, None)
    layer._kernel._autocast = True
    host = type(layer).host
    if not isinstance(getattr(host, "kernel", None), property):
        state[layer.kernel_name] = state.pop("_kernel")
    layer.__class__ = host
