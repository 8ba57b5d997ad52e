"""Value and gradients of a scalar function of a layer, on whichever backend Keras runs.

``how`` is "eager", "graph" (``tf.function``) or "jit" (XLA: ``tf.function(jit_compile=True)`` or
``jax.jit``); each backend has those in ``WAYS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

WAYS = {
    "tensorflow": ("eager", "graph", "jit"),
    "jax": ("eager", "jit"),
    "torch": ("eager",),
}[keras.backend.backend()]

Loss = Callable[[Any], Any]  # of the input
PullBack = Callable[[np.ndarray], tuple[np.ndarray, list[np.ndarray]]]


def pull_back(layer: Any, loss: Loss, how: str = "eager") -> PullBack:
    """From x to the gradients with respect to x and to each of ``layer.variables``."""
    function = _BACKENDS[keras.backend.backend()](layer, loss, how)

    def gradients(x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        grad_x, grads = function(keras.ops.convert_to_tensor(x))
        return to_numpy(grad_x), [to_numpy(grad) for grad in grads]

    return gradients


def forward(function: Callable[[Any], Any], x: np.ndarray, how: str = "eager") -> np.ndarray:
    return to_numpy(_compiled(function, how)(keras.ops.convert_to_tensor(x)))


def to_numpy(tensor: Any) -> np.ndarray:
    """Of a tensor or variable (whose own conversion warns with NumPy 2, in Keras 3.15)."""
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(tensor)))


def _compiled(function: Callable[..., Any], how: str) -> Callable[..., Any]:
    if how == "eager":
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=how == "jit")


def _tensorflow(layer: Any, loss: Loss, how: str) -> Callable[[Any], Any]:
    import tensorflow as tf

    def function(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        grad_x, *grads = tape.gradient(value, [x, *(v.value for v in layer.variables)])
        return grad_x, grads

    return _compiled(function, how)


def _jax(layer: Any, loss: Loss, how: str) -> Callable[[Any], Any]:
    import jax

    def stateless(x: Any, values: list[Any]) -> Any:
        with keras.StatelessScope(zip(layer.variables, values, strict=True)):
            return loss(x)

    function = _compiled(jax.grad(stateless, argnums=(0, 1)), how)
    return lambda x: function(x, [v.value for v in layer.variables])


def _torch(layer: Any, loss: Loss, how: str) -> Callable[[Any], Any]:
    import torch

    def function(x: Any) -> Any:
        x = x.detach().requires_grad_()
        grad_x, *grads = torch.autograd.grad(loss(x), [x, *(v.value for v in layer.variables)])
        return grad_x, grads

    return function


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
