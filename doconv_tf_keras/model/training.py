"""Keeping a changed model together with its optimizer, and with what was traced of it."""

from __future__ import annotations

from functools import partial

import tf_keras

from doconv_keras.model import training


def _has_built_optimizer(layer: tf_keras.layers.Layer) -> bool:
    optimizer = getattr(layer, "optimizer", None) if isinstance(layer, tf_keras.Model) else None
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    # The legacy ones take each variable as it comes, and so D too.
    return bool(getattr(optimizer, "_built", False))


refuse_built_optimizer = partial(training.refuse_built_optimizer, _has_built_optimizer)
warn_if_not_trained = partial(training.warn_if_not_trained, _has_built_optimizer)
forget_traces = partial(training.forget_traces, tf_keras.Model)
