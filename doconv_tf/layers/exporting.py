"""What is said when an unfolded layer goes into an exported graph."""

from doconv_keras.layers.exporting import warn, warn_if_exporting

__all__ = ["warn", "warn_if_exporting"]
