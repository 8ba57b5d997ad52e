"""How the variables beside W start."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf
import tf_keras

from doconv_core import DOConvSpec
from doconv_tf_keras import messages as tf_keras_messages

Initializer = Any
"""A function of a shape and a dtype, as tf_keras calls it."""


def uncast(variable: Any) -> Any:
    """The variable itself, where mixed precision has wrapped it to be cast in a layer's call."""
    return getattr(variable, "_variable", variable) if _is_wrapped(variable) else variable


def add_beside(
    layer: tf_keras.layers.Layer, W: Any, name: str, shape: Any, initializer: Any, **options: Any
) -> Any:
    """A further variable of a layer, trainable where W is, which tf_keras never casts.

    Raises:
        ValueError: W was made outside of the distribution strategy whose scope this one is.
    """
    strategy = strategy_of(W)
    if strategy is None and tf.distribute.has_strategy():
        raise ValueError(tf_keras_messages.made_outside(layer.name))
    with made_where(W), tf.name_scope(name_scope(W)):
        return layer.add_weight(
            name, shape, initializer=initializer, dtype=layer.variable_dtype,
            trainable=W.trainable, experimental_autocast=False,
            **options,
        )  # fmt: skip


def strategy_of(variable: Any) -> Any:
    """The distribution strategy in whose scope a variable was made, or None."""
    return getattr(uncast(variable), "distribute_strategy", None)


def made_where(variable: Any) -> AbstractContextManager[Any]:
    """A scope in which a new variable is distributed as another one is."""
    strategy = strategy_of(variable)
    scope: AbstractContextManager[Any] = nullcontext() if strategy is None else strategy.scope()
    return scope


def name_scope(variable: Any) -> str:
    """What a variable's name has before its own part, so that another one is called alike."""
    prefix, _, _ = variable.name.rpartition("/")
    return f"{prefix}/" if prefix else ""


def extra_columns(spec: DOConvSpec, initializer: Initializer) -> Initializer:
    """For W_extra: zeros where the identity has a copy, else as the host's draws a kernel."""

    def draw(shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        zeros = tf.zeros((shape[0] - spec.free_columns, *shape[1:]), dtype)
        if not spec.free_columns:
            return zeros
        # Of the kernel's own shape, so that the fan and with it the scale are the kernel's.
        drawn = another(initializer)((*spec.kernel_size, *shape[1:]), dtype=dtype)
        drawn = tf.reshape(drawn, (spec.K, *shape[1:]))
        return tf.concat([zeros, drawn[: spec.free_columns]], axis=0)

    return draw


def another(initializer: Initializer) -> Initializer:
    """A clone, which draws other values: one and the same warns when it is called again."""
    if not isinstance(initializer, tf_keras.initializers.Initializer):
        return initializer
    return type(initializer).from_config(initializer.get_config())


def _is_wrapped(variable: Any) -> bool:
    return type(variable).__name__.startswith("AutoCast")
