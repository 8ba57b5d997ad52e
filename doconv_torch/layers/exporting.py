"""What is said when an unfolded layer goes into an exported graph."""

import warnings

import torch

from doconv_core import messages


def warn_if_exporting() -> None:
    """Warn, from this one place, so by Python's rules once."""
    # Dynamo (torch.export with strict=True) traces past warnings.
    if torch.compiler.is_exporting():
        warnings.warn(messages.model.EXPORTED_UNFOLDED, UserWarning, stacklevel=1)
