"""The layers of a model that convert, fold, summary and states are about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import keras

from doconv_keras.model import walk
from doconv_tf.layers.families import family_of
from doconv_tf.layers.nesting import everything

candidates = partial(walk.candidates, family_of, keras.layers.SpectralNormalization)
layers = partial(walk.layers, family_of)
over_parameterized = partial(walk.over_parameterized, family_of)


def D_beyond_reach(model: keras.layers.Layer) -> Iterator[str]:
    """The names of D's in what Keras runs as a whole: SavedModels and wrapped PyTorch modules."""
    for layer in everything(model):
        names: list[str] = []
        if isinstance(layer, keras.layers.TFSMLayer):
            names = [variable.name for variable in layer._reloaded_obj.variables]
        elif isinstance(layer, keras.layers.TorchModuleWrapper):
            names = [name for name, _ in layer.module.named_parameters()]
        yield from (name for name in names if re.split(r"[/.]", name.removesuffix(":0"))[-1] == "D")
