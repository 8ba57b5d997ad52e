"""How variables start: those beside W, and those that hold one array for each expert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import keras
from keras import ops
from keras.src.backend.common import global_state  # which Keras does not export
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR  # nor this

from doconv_keras.tensors import initialization, random_state
from doconv_keras.tensors.initialization import DEFAULT, Initializer
from doconv_tf import messages as keras_messages

__all__ = ["DEFAULT", "LIBRARY", "Initializer", "add_beside", "another", "expert_by_expert",
           "extra_columns", "made_where", "offset", "random_state_kept"]  # fmt: skip


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


@contextmanager
def random_state_kept() -> Iterator[None]:
    """See :func:`doconv_keras.tensors.random_state.kept`; also of Keras's global generator."""
    with random_state.kept(_Global):
        yield


class _Global:
    """The generator that ``keras.random`` draws from where it is given no seed."""

    @staticmethod
    def getstate() -> Any:
        generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
        # A copy: on PyTorch the array may be the variable's own.
        return generator and (generator, ops.convert_to_numpy(generator.state.value).copy())

    @staticmethod
    def setstate(state: Any) -> None:
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, state and state[0])
        if state and (ops.convert_to_numpy(state[0].state.value) != state[1]).any():
            state[0].state.assign(state[1])


LIBRARY = initialization.Library(ops, keras.initializers)

offset = partial(initialization.offset, LIBRARY)
extra_columns = partial(initialization.extra_columns, LIBRARY)
another = partial(initialization.another, LIBRARY)


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
