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


def gradients(
    layer: Any, loss: Loss, x: np.ndarray, how: str = "eager"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Gradients with respect to x and to each of ``layer.variables``."""
    x_tensor = keras.ops.convert_to_tensor(x)
    grad_x, grads = _BACKENDS[keras.backend.backend()](layer, loss, x_tensor, how)
    return to_numpy(grad_x), [to_numpy(grad) for grad in grads]


def forward(function: Callable[[Any], Any], x: np.ndarray, how: str = "eager") -> np.ndarray:
    x_tensor = keras.ops.convert_to_tensor(x)
    return to_numpy(_compiled(function, how)(x_tensor))


def _compiled(function: Callable[..., Any], how: str) -> Callable[..., Any]:
    if how == "eager":
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=how == "jit")


def to_numpy(tensor: Any) -> np.ndarray:
    """Of a tensor or variable (whose own conversion warns with NumPy 2, in Keras 3.15)."""
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(tensor)))


def _tensorflow(layer: Any, loss: Loss, x: Any, how: str) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    def pull_back(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return tape.gradient(value, [x, *(v.value for v in layer.variables)])

    grad_x, *grads = _compiled(pull_back, how)(x)
    return grad_x, grads


def _jax(layer: Any, loss: Loss, x: Any, how: str) -> tuple[Any, list[Any]]:
    import jax

    def stateless(values: list[Any], x: Any) -> Any:
        with keras.StatelessScope(zip(layer.variables, values, strict=True)):
            return loss(x)

    values = [v.value for v in layer.variables]
    grads, grad_x = _compiled(jax.grad(stateless, argnums=(0, 1)), how)(values, x)
    return grad_x, grads


def _torch(layer: Any, loss: Loss, x: Any, how: str) -> tuple[Any, list[Any]]:
    import torch

    x = x.detach().requires_grad_()
    grad_x, *grads = torch.autograd.grad(loss(x), [x, *(v.value for v in layer.variables)])
    return grad_x, grads


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
