"""What ``--verify`` sees: a kernel that is the layer's passes, and no other does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from doconv_cli.files.verbs.verify import Factors, difference
from doconv_core import DOConvSpec, fold_kernel
from doconv_core.kernel.layout import from_canonical
from tests.cli.test_files_shapes import specs


def layer(spec: DOConvSpec, dtype: str) -> tuple[Factors, np.ndarray, np.ndarray]:
    """A layer's arrays in PyTorch's layout, its kernel, and one with every D transposed."""
    rng = np.random.default_rng(0)
    W, D = (rng.normal(size=shape).astype("float32") for shape in (spec.W_shape, spec.D_shape))
    layout = "IOk" if spec.transposed else "OIk"
    arrays = {"weight": from_canonical(spec, W[..., : spec.K], layout), "D": D}
    if spec.extra_columns:
        arrays["W_extra"] = from_canonical(spec, W[..., spec.K :], layout, spatial=False)
    turned = D.copy()
    turned[..., : spec.K] = D[..., : spec.K].swapaxes(1, 2)
    kernels = (from_canonical(spec, fold_kernel(spec, W, d, dtype), layout) for d in (D, turned))
    return Factors(spec, arrays), *kernels


DTYPES = ["float16", "bfloat16", "float32", "float64"]


@given(specs().filter(lambda spec: spec.has_D), st.sampled_from(DTYPES))
def test_a_kernel_rounded_once_passes_and_no_other(spec: DOConvSpec, dtype: str) -> None:
    own, kernel, turned = layer(spec, dtype)
    assert difference(own, kernel, dtype) <= 0.5
    assume(not np.array_equal(kernel, turned))
    assert difference(own, turned, dtype) > 0.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True], ids=["ordinary", "transposed"])
def test_the_channels_of_another_group_do_not_pass(transposed: bool, dtype: str) -> None:
    spec = DOConvSpec(6, 4, (3, 2), groups=2, D_mul=8, transposed=transposed)
    own, kernel, _ = layer(spec, dtype)
    for wrong in (kernel[::-1], np.roll(kernel, 1, axis=1), np.flip(kernel, (2, 3)), kernel * 0):
        assert difference(own, np.ascontiguousarray(wrong), dtype) > 0.5
    if dtype == "float64":  # whose last places the sums in float64 do not reach
        return
    for size in (2, 16):  # units in the last place, in one element
        off = kernel.astype(np.float64)
        digits = {"float16": 11, "bfloat16": 8, "float32": 24}[dtype]
        off[:, :, 0, 0] *= 1 + size * 2.0 ** (3 - digits)
        assert difference(own, off, dtype) > 0.5


def test_what_is_not_finite_does_not_pass() -> None:
    own, kernel, _ = layer(DOConvSpec(3, 4, (3,)), "float32")
    kernel[0, 0, 0] = np.nan
    assert difference(own, kernel, "float32") == np.inf
    assert difference(own, kernel[:2], "float32") == np.inf
