"""How the variables of a DO-Conv layer start, where the host's own initializer does not say.

``library`` is :class:`Library`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from doconv_core import CondConvSpec, DOConvSpec, identity
from doconv_core.kernel.initialization import Start
from doconv_keras.tensors.composition import Ops

Spec = DOConvSpec | CondConvSpec
DEFAULT = Start()

Initializer = Any
"""A function of a shape and a dtype, as Keras calls it."""


class Library(NamedTuple):
    """What of a framework draws numbers.

    Attributes:
        ops: the operations.
        initializers: its module of initializers.
    """

    ops: Ops
    initializers: Any


def offset(library: Library, spec: Spec, start: Start) -> Initializer:
    """For D: zeros, or what makes the whole D, identity and offset, random."""
    if start.D == "identity":
        return library.initializers.Zeros()

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        whole = uniform(library, 1 / spec.S)(shape, dtype=dtype)
        return whole - library.ops.cast(identity(spec.K, spec.S), dtype)

    return draw


def uniform(library: Library, variance: float) -> Initializer:
    """Values between equal bounds."""
    bound = math.sqrt(3 * variance)
    return library.initializers.RandomUniform(-bound, bound)


def as_the_authors(library: Library, spec: Spec) -> Initializer:
    """For all columns of W alike: their kaiming_uniform_(a=sqrt(5)) over I/g S inputs."""
    return uniform(library, 1 / (3 * spec.W_shape[-2] * spec.S))


def extra_columns(
    library: Library, spec: DOConvSpec, initializer: Initializer, start: Start = DEFAULT
) -> Initializer:
    """For W_extra: zeros where the identity has a copy, else as the host's draws a kernel."""
    if start.W_extra == "random":
        return as_the_authors(library, spec)
    ops = library.ops

    def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
        zeros = ops.zeros((shape[0] - spec.free_columns, *shape[1:]), dtype)
        if not spec.free_columns:
            return zeros
        # Of the kernel's own shape, so that the fan and with it the scale are the kernel's.
        drawn = another(library, initializer)((*spec.kernel_size, *shape[1:]), dtype=dtype)
        drawn = ops.reshape(drawn, (spec.K, *shape[1:]))
        return ops.concatenate([zeros, drawn[: spec.free_columns]], axis=0)

    return draw


def another(library: Library, initializer: Initializer, number: int = 0) -> Initializer:
    """A clone, which draws other values: without a seed of its own, or with one that is moved.

    One and the same initializer draws the same values each time (tf_keras warns of it), unless its
    seed is a ``SeedGenerator``; then nothing need be cloned.
    """
    if not isinstance(initializer, library.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    seed = config.get("seed")
    if not isinstance(seed, (int, type(None))):
        return initializer
    if seed is not None:
        config["seed"] = seed + number
    return type(initializer).from_config(config)
