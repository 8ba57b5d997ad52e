"""The definition, for tests: a DO-Conv layer by feature composition, in float64 NumPy.

It never builds a kernel: a depthwise convolution of the input with identity + D (I channels
become I*S), then a 1x1 convolution with W. Slow and plain on purpose. Every adapter is held
against it; a mistake in kernel composition cannot hide here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.initialization import identity
from doconv_core.kernel.spec import DOConvSpec

Array = NDArray[Any]  # float64 throughout
Window = tuple[Any, ...]  # an index: an ellipsis, then a slice per spatial dimension

_PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


class Gradients(NamedTuple):
    """Gradients of a layer, in the shapes of the arrays they belong to."""

    x: Array
    W: Array
    D: Array | None
    bias: Array


class Oracle:
    """One DO-Conv layer, by feature composition.

    Args:
        spec: the layer's sizes.
        stride, dilation: one integer per spatial dimension.
        padding: one (before, after) pair per dimension. A transposed convolution crops its full
            output by it.
        padding_mode: "zeros", "reflect", "replicate" or "circular" (zeros if transposed).
        output_padding: extra size at the end of each dimension (transposed only).

    Example:
        >>> spec = DOConvSpec(1, 1, (3,))
        >>> layer = Oracle(spec, padding=[(1, 1)])
        >>> layer(np.ones((1, 1, 4)), np.ones(spec.W_shape), np.zeros(spec.D_shape))
        array([[[2., 3., 3., 2.]]])
    """

    def __init__(
        self,
        spec: DOConvSpec,
        *,
        stride: Sequence[int] | None = None,
        padding: Sequence[tuple[int, int]] | None = None,
        dilation: Sequence[int] | None = None,
        padding_mode: str = "zeros",
        output_padding: Sequence[int] | None = None,
    ) -> None:
        ndim = len(spec.kernel_size)
        self.spec = spec
        self.stride = tuple(stride or (1,) * ndim)
        self.padding = tuple(padding or ((0, 0),) * ndim)
        self.dilation = tuple(dilation or (1,) * ndim)
        self.padding_mode = padding_mode
        self.output_padding = tuple(output_padding or (0,) * ndim)

    def __call__(
        self, x: NDArray[Any], W: NDArray[Any], D: NDArray[Any] | None, bias: Any = None
    ) -> Array:
        """The output (B, O, *out) for an input (B, I, *in)."""
        y = self._pointwise(self._depthwise(np.asarray(x, np.float64), D), W)
        if bias is not None:
            y = y + np.asarray(bias, np.float64).reshape(-1, *(1,) * len(self.stride))
        return y

    def gradients(
        self, x: NDArray[Any], W: NDArray[Any], D: NDArray[Any] | None, grad_y: NDArray[Any]
    ) -> Gradients:
        """Gradients of ``(output * grad_y).sum()``."""
        spec, g = self.spec, self.spec.groups
        x, grad_y = np.asarray(x, np.float64), np.asarray(grad_y, np.float64)
        features = self._depthwise(x, D)
        batch, positions = len(x), features.shape[3:]
        grouped_grad = grad_y.reshape(batch, g, spec.out_channels // g, -1)
        grouped_W = np.asarray(W, np.float64).reshape(g, spec.out_channels // g, -1)
        grouped_features = features.reshape(batch, g, grouped_W.shape[2], -1)
        grad_W = np.einsum("bgop,bgcp->goc", grouped_grad, grouped_features).reshape(spec.W_shape)
        grad_features = np.einsum("bgop,goc->bgcp", grouped_grad, grouped_W)
        grad_features = grad_features.reshape(batch, spec.in_channels, spec.S, *positions)
        grad_x, grad_D = self._depthwise_gradients(x, D, grad_features)
        sum_axes = (0, *range(2, grad_y.ndim))
        return Gradients(grad_x, grad_W, grad_D if spec.has_D else None, grad_y.sum(sum_axes))

    # --- the two convolutions --------------------------------------------------------------

    def _pointwise(self, features: Array, W: NDArray[Any]) -> Array:
        g, O = self.spec.groups, self.spec.out_channels
        batch, positions = len(features), features.shape[3:]
        grouped = features.reshape(batch, g, -1, int(np.prod(positions)))
        weights = np.asarray(W, np.float64).reshape(g, O // g, -1)
        y: Array = np.einsum("bgcp,goc->bgop", grouped, weights)
        return y.reshape(batch, O, *positions)

    def _depthwise(self, x: Array, D: NDArray[Any] | None) -> Array:
        """(B, I, *in) -> (B, I, S, *out)."""
        weights = self._weights(D)
        if self.spec.transposed:
            canvas = np.zeros((*x.shape[:2], self.spec.S, *self._canvas_size(x)))
            for k, window in self._windows(x.shape[2:]):
                canvas[window] += _outer(x, weights[:, k])
            return canvas[self._crop(canvas.shape[3:])]
        padded, out_size = self._pad(x), self._out_size(x)
        features = np.zeros((*x.shape[:2], self.spec.S, *out_size))
        for k, window in self._windows(out_size):
            features += _outer(padded[window], weights[:, k])
        return features

    def _depthwise_gradients(
        self, x: Array, D: NDArray[Any] | None, grad: Array
    ) -> tuple[Array, Array]:
        weights = self._weights(D)
        grad_weights = np.zeros(self.spec.D_shape)
        if self.spec.transposed:
            grad_x = np.zeros_like(x)
            canvas = np.zeros((*x.shape[:2], self.spec.S, *self._canvas_size(x)))
            canvas[self._crop(canvas.shape[3:])] = grad
            for k, window in self._windows(x.shape[2:]):
                part = canvas[window]
                grad_weights[:, k] = _inner(x, part)
                grad_x += np.einsum("bis...,is->bi...", part, weights[:, k])
            return grad_x, grad_weights
        padded = self._pad(x)
        grad_padded = np.zeros_like(padded)
        for k, window in self._windows(grad.shape[3:]):
            grad_weights[:, k] = _inner(padded[window], grad)
            grad_padded[window] += np.einsum("bis...,is->bi...", grad, weights[:, k])
        return self._unpad(grad_padded, x.shape), grad_weights

    def _weights(self, D: NDArray[Any] | None) -> Array:
        whole = np.broadcast_to(identity(self.spec.K, self.spec.S), self.spec.D_shape)
        return whole if D is None else whole + np.asarray(D, np.float64)

    # --- geometry --------------------------------------------------------------------------

    def _windows(self, size: Sequence[int]) -> Iterator[tuple[int, Window]]:
        """For each kernel element, the strided window of the larger array that it touches."""
        offsets = itertools.product(*map(range, self.spec.kernel_size))
        for k, offset in enumerate(offsets):
            slices = (
                slice(o * d, o * d + (n - 1) * s + 1, s)
                for o, d, s, n in zip(offset, self.dilation, self.stride, size, strict=True)
            )
            yield k, (..., *slices)

    def _out_size(self, x: Array) -> tuple[int, ...]:
        return tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                x.shape[2:], self.padding, self.dilation, self.spec.kernel_size, self.stride,
                strict=True,
            )
        )  # fmt: skip

    def _canvas_size(self, x: Array) -> tuple[int, ...]:
        return tuple(
            (n - 1) * s + d * (k - 1) + 1 + extra
            for n, s, d, k, extra in zip(
                x.shape[2:], self.stride, self.dilation, self.spec.kernel_size,
                self.output_padding, strict=True,
            )
        )  # fmt: skip

    def _crop(self, size: Sequence[int]) -> Window:
        ends = zip(size, self.padding, strict=True)
        return (..., *(slice(before, n - after) for n, (before, after) in ends))

    def _pad(self, x: Array) -> Array:
        widths = ((0, 0), (0, 0), *self.padding)
        return np.pad(x, widths, mode=_PADDING_MODES[self.padding_mode])  # type: ignore[call-overload, no-any-return]

    def _unpad(self, grad: Array, shape: tuple[int, ...]) -> Array:
        """Adjoint of ``_pad``: padding only copies, so each copy's gradient goes to its source."""
        numbers = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64).reshape(shape)
        source = self._pad(numbers).astype(int)  # 0 where a zero was padded in
        summed = np.bincount(source.ravel(), grad.ravel(), minlength=int(np.prod(shape)) + 1)
        return summed[1:].reshape(shape)


def _outer(x: Array, weights: Array) -> Array:
    """(B, I, *size) times (I, S) -> (B, I, S, *size)."""
    return np.asarray(np.einsum("bi...,is->bis...", x, weights))


def _inner(x: Array, features: Array) -> Array:
    """(B, I, *size) with (B, I, S, *size) -> (I, S), summed over batch and positions."""
    flat = x.reshape(*x.shape[:2], -1), features.reshape(*features.shape[:3], -1)
    return np.asarray(np.einsum("bip,bisp->is", *flat))
