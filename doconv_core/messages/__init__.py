"""Every sentence the user may read, once, for all frameworks; none of them is named here."""

from doconv_core.messages import files, layer, model, native, neighbours

__all__ = ["files", "layer", "model", "native", "neighbours"]
