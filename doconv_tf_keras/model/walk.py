"""The layers of a model that convert, fold, summary and states are about."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import tf_keras

from doconv_keras.model import walk
from doconv_tf_keras.layers.families import family_of

candidates = partial(walk.candidates, family_of, tf_keras.layers.SpectralNormalization)
layers = partial(walk.layers, family_of)
over_parameterized = partial(walk.over_parameterized, family_of)


def D_beyond_reach(model: tf_keras.layers.Layer) -> Iterator[str]:
    """The names of D's that no layer of ours holds, as in a SavedModel that was loaded."""
    ours = {id(layer.D) for _, layer in over_parameterized(model)}
    for variable in model.weights:
        name = getattr(variable, "name", "")  # tf_keras lists a lookup's table too
        if id(variable) not in ours and name.split("/")[-1] == "D:0":
            yield name
