"""What is said when an unfolded layer goes into an exported graph."""

from __future__ import annotations

import warnings
from functools import cache

from doconv_core import messages


def warn_if_exporting(save_type: str) -> None:
    """Warn once.

    TensorFlow asks each layer for what it holds when it makes a SavedModel, and a TFLite file is
    made of that; to save a checkpoint, it asks for another type.
    """
    if save_type == "savedmodel":
        warn()


@cache  # Python's own rule begins anew whenever somebody changes the filters, as TensorFlow does
def warn() -> None:
    """Warn, the first time in a process."""
    warnings.warn(messages.model.EXPORTED_UNFOLDED, UserWarning, stacklevel=2)
