"""Layers back to their plain form."""

from __future__ import annotations

from functools import partial

from doconv_keras.layers import folding
from doconv_keras.layers.folding import check_foldable, why_not_foldable
from doconv_tf_keras.layers.arrays import to_numpy
from doconv_tf_keras.layers.copying import copied
from doconv_tf_keras.tensors.composition import Ops

__all__ = ["check_foldable", "fold_", "folded_copy", "why_not_foldable"]

fold_ = partial(folding.fold_, Ops, to_numpy)
folded_copy = partial(folding.folded_copy, copied, fold_)
