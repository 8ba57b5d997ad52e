"""What the arrays hold at birth, so that the layer is the plain layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec

D_INITS = ("identity", "random")
W_EXTRA_INITS = ("zeros", "random")


class Start(NamedTuple):
    """How D, and the columns of W beyond K, start where somebody asks for it.

    Attributes:
        D: "identity": zeros, as offset from it. "random": the whole D is drawn, uniformly in
            +-sqrt(3 / S), so that a kernel's elements keep the variance of W's.
        W_extra: "zeros" where a copy of the identity is. "random": all columns of W drawn alike.

    Source: the paper's ablation (arXiv 2006.12030, section 4) for a random D, whose scale is our
    reading; the official code for W.
    """

    D: str = "identity"
    W_extra: str = "zeros"


def start_of(D_init: Any, W_extra_init: Any) -> Start:
    """The two options, checked.

    Raises:
        ValueError: one is unknown.
    """
    if D_init not in D_INITS:
        raise ValueError(messages.layer.bad_choice("D_init", D_init, D_INITS))
    if W_extra_init not in W_EXTRA_INITS:
        raise ValueError(messages.layer.bad_choice("W_extra_init", W_extra_init, W_EXTRA_INITS))
    return Start(D_init, W_extra_init)


def identity(K: int, S: int) -> NDArray[np.float64]:
    """The (K, S) matrix that D is an offset from.

    floor(S/K) copies of the K x K identity side by side, then S mod K zero columns.
    Source: the official code's ``d_diag``.

    Example:
        >>> identity(2, 5)
        array([[1., 0., 1., 0., 0.],
               [0., 1., 0., 1., 0.]])
    """
    copies = np.tile(np.eye(K), (1, S // K))
    return np.concatenate([copies, np.zeros((K, S % K))], axis=1)


def over_parameterize(
    spec: DOConvSpec, kernel: NDArray[Any], free: NDArray[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """W and D that compose to exactly ``kernel``: the start of training, and of conversion.

    Args:
        spec: the layer's sizes.
        kernel: (O, I/g, K), what the plain layer computes with.
        free: (O, I/g, S mod K), start values of the W columns without an identity column
            (D is zero there, so they do not change the output; if they were zero as well,
            neither factor would ever get a gradient). None means zeros.

    Returns:
        W (O, I/g, S) and D (I, K, S), zeros; D is None for K = 1.
    """
    if not spec.has_D:
        return kernel.copy(), None
    W = np.zeros(spec.W_shape, kernel.dtype)
    W[..., : spec.K] = kernel
    if free is not None and spec.free_columns:
        W[..., spec.S - spec.free_columns :] = free
    return W, np.zeros(spec.D_shape, kernel.dtype)
