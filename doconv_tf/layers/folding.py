"""Layers back to their plain form."""

from __future__ import annotations

from functools import partial

from keras import ops

from doconv_keras.layers import folding
from doconv_keras.layers.folding import check_foldable, why_not_foldable
from doconv_tf.layers.arrays import to_numpy
from doconv_tf.layers.copying import copied

__all__ = ["check_foldable", "fold_", "folded_copy", "why_not_foldable"]

fold_ = partial(folding.fold_, ops, to_numpy)
folded_copy = partial(folding.folded_copy, copied, fold_)
