"""How the variables beside W start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.backend import _SEED_GENERATOR  # which tf_keras does not export

from doconv_keras.tensors import random_state
from doconv_keras.tensors.initialization import Initializer, Library
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.tensors.composition import Ops


def uncast(variable: Any) -> Any:
    """The variable itself, where mixed precision has wrapped it to be cast in a layer's call."""
    return getattr(variable, "_variable", variable) if _is_wrapped(variable) else variable


def add_beside(
    layer: tf_keras.layers.Layer,
    W: Any,
    name: str,
    shape: Any,
    initializer: Initializer,
    **options: Any,
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


@contextmanager
def random_state_kept() -> Iterator[None]:
    """See :func:`doconv_keras.tensors.random_state.kept`; also of ``set_random_seed``'s own."""
    own = getattr(_SEED_GENERATOR, "generator", None)
    with random_state.kept(*(() if own is None else (own,))):
        yield


def _is_wrapped(variable: Any) -> bool:
    return type(variable).__name__.startswith("AutoCast")


LIBRARY = Library(Ops, tf_keras.initializers)
