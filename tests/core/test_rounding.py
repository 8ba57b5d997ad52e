"""One rounding to bfloat16: every number of the type, and every middle between two of them."""

from __future__ import annotations

import numpy as np
import pytest

from doconv_core.kernel.rounding import round_once

BITS = np.arange(0x7F80, dtype=np.uint32)
NUMBERS = (BITS << 16).view(np.float32).astype(np.float64)  # zero and all positive finite ones
LOWER, UPPER = NUMBERS[:-1], NUMBERS[1:]
MIDDLES = (LOWER + UPPER) / 2  # exact in float64

CASES = {
    "numbers": (NUMBERS, NUMBERS),
    "middles": (MIDDLES, np.where(BITS[:-1] % 2 == 0, LOWER, UPPER)),
    "just-above-the-middles": (np.nextafter(MIDDLES, np.inf), UPPER),
    "just-below-the-middles": (np.nextafter(MIDDLES, 0), LOWER),
    "too-large": (np.array([3.4e38, 1e300, np.inf]), np.full(3, np.inf)),
    "too-small": (np.array([1e-320]), np.zeros(1)),
    "one-number": (np.array(1.0), np.array(1.0)),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("exact", "expected"), CASES.values(), ids=CASES.keys())
def test_to_bfloat16(exact: np.ndarray, expected: np.ndarray, sign: int) -> None:
    rounded = round_once(sign * exact, "bfloat16")
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, sign * expected)


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("float64")])
def test_to_numpy_s_types(dtype: str) -> None:
    exact = np.array([1 + 2.0**-11 + 2.0**-30, -1e-300, 1e300])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(round_once(exact, dtype), exact.astype(dtype))
