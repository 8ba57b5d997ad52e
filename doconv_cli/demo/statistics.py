"""Paired comparison of two ways of training over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Mean(NamedTuple):
    """A mean and its standard error (NaN for a single value), in the values' unit."""

    mean: float
    error: float


class Difference(NamedTuple):
    """A mean paired difference and its 95 % confidence interval (Student's t)."""

    mean: float
    low: float
    high: float


def mean(values: ArrayLike) -> Mean:
    """Mean and standard error of independent values.

    Example:
        >>> mean([1.0, 3.0])
        Mean(mean=2.0, error=1.0)
    """
    values = np.asarray(values, float)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Mean(float(values.mean()), error)


def paired_difference(first: ArrayLike, second: ArrayLike) -> Difference:
    """``second - first``, pair by pair."""
    differences = np.asarray(second, float) - np.asarray(first, float)
    center = mean(differences)
    if len(differences) < 2:
        return Difference(center.mean, float("nan"), float("nan"))
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * center.error
    return Difference(center.mean, center.mean - reach, center.mean + reach)
