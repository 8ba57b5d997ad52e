"""How variables start: those beside W, and those that hold one array for each expert."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops

from doconv_core import CondConvSpec, DOConvSpec, identity
from doconv_core.kernel.initialization import Start
from doconv_tf import messages as keras_messages

Spec = DOConvSpec | CondConvSpec
DEFAULT = Start()

Initializer = Any
"""A function of a shape and a dtype, as Keras calls it."""


def add_beside(
    layer: keras.layers.Layer, W: Any, name: str, shape: Any, initializer: Any, **options: Any
) -> Any:
    """A further variable of a layer, trainable where W is, which Keras never casts.

    Raises:
        ValueError: W was made outside of the distribution strategy whose scope this one is.
    """
    with made_where(W):
        variable = layer.add_weight(
            name=name, shape=shape, initializer=initializer, dtype=layer.variable_dtype,
            autocast=False,
            **options,
        )  # fmt: skip
    if _strategy(variable) is not _strategy(W):
        layer._untrack_variable(variable)
        raise ValueError(keras_messages.made_outside(layer.path))
    variable.trainable = W.trainable
    return variable


def made_where(variable: Any) -> AbstractContextManager[Any]:
    """The scope of TensorFlow's distribution strategy that a variable was made in, if it was."""
    strategy = _strategy(variable)
    return nullcontext() if strategy is None else strategy.scope()


def _strategy(variable: Any) -> Any:
    return getattr(variable.value, "distribute_strategy", None)


def offset(spec: Spec, start: Start) -> Initializer:
    """For D: zeros, or what makes the whole D, identity and offset, random."""
    if start.D == "identity":
        return keras.initializers.Zeros()

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        whole = uniform(1 / spec.S)(shape, dtype=dtype)
        return whole - ops.cast(identity(spec.K, spec.S), dtype)

    return draw


def uniform(variance: float) -> Initializer:
    """Values between equal bounds."""
    bound = math.sqrt(3 * variance)
    return keras.initializers.RandomUniform(-bound, bound)


def as_the_authors(spec: Spec) -> Initializer:
    """For all columns of W alike: their kaiming_uniform_(a=sqrt(5)) over I/g S inputs."""
    return uniform(1 / (3 * spec.W_shape[-2] * spec.S))


def extra_columns(
    spec: DOConvSpec, initializer: Initializer, start: Start = DEFAULT
) -> Initializer:
    """For W_extra: zeros where the identity has a copy, else as the host's draws a kernel."""
    if start.W_extra == "random":
        return as_the_authors(spec)

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        zeros = ops.zeros((shape[0] - spec.free_columns, *shape[1:]), dtype)
        if not spec.free_columns:
            return zeros
        # Of the kernel's own shape, so that the fan and with it the scale are the kernel's.
        drawn = another(initializer)((*spec.kernel_size, *shape[1:]), dtype=dtype)
        drawn = ops.reshape(drawn, (spec.K, *shape[1:]))
        return ops.concatenate([zeros, drawn[: spec.free_columns]], axis=0)

    return draw


def another(initializer: Initializer, number: int = 0) -> Initializer:
    """A clone, which draws other values: without a seed of its own, or with one that is moved.

    One and the same initializer draws the same values each time, unless its seed is a
    ``SeedGenerator``; then nothing need be cloned.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    seed = config.get("seed")
    if not isinstance(seed, (int, type(None))):
        return initializer
    if seed is not None:
        config["seed"] = seed + number
    return type(initializer).from_config(config)


def expert_by_expert(
    initializer: Initializer, experts: int, one: Callable[[Initializer], Initializer] = lambda i: i
) -> Initializer:
    """An initializer of (E, ...): the host's for the first expert, and another for each further.

    Args:
        initializer: of one array.
        experts: E.
        one: what to make of an initializer before it draws.
    """
    further = [another(initializer, number) for number in range(1, experts)]
    drawing = [one(each) for each in (initializer, *further)]

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.stack([each(shape[1:], dtype=dtype) for each in drawing])

    return draw
