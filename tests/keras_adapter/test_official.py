"""Whole checkpoints of the authors' TensorFlow models; tests/star/test_load_official.py has layers.

D is random: while it is zero, their layers and ours coincide.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import DOConvSpec
from doconv_tf import convert, get_state, load_official
from tests.core.test_official import official_tf
from tests.keras_adapter.helpers import run, values

Checkpoint = dict[str, np.ndarray]

SPECS = {
    "stem": DOConvSpec(4, 6, (3, 3)),
    "inner/grouped": DOConvSpec(6, 4, (2, 2), groups=2),
    "inner/depthwise": DOConvSpec(4, 8, (2, 2), groups=4),
}


def network() -> keras.Model:
    """With a nested model, and with layers that are not the authors'."""
    L = keras.layers
    inner = [L.Conv2D(4, 2, groups=2, name="grouped"), L.DepthwiseConv2D(2, depth_multiplier=2,
             name="depthwise")]  # fmt: skip
    return keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            L.Conv2D(6, 3, name="stem"),
            L.BatchNormalization(name="norm"),
            L.Dropout(0.5, name="dropout"),  # whose random state is no array of a checkpoint
            keras.Sequential([keras.Input((6, 6, 6)), *inner], name="inner"),
            L.Conv2D(3, 1, name="head"),
        ]
    )


def official() -> tuple[Checkpoint, Checkpoint]:
    """A checkpoint of theirs, and the same with every kernel composed by their rule."""
    rng = np.random.default_rng(0)
    theirs: Checkpoint = {
        f"norm/{name}:0": rng.uniform(1, 2, 6)
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    theirs["head/kernel:0"] = rng.normal(size=(1, 1, 8, 3))
    theirs["head/bias:0"] = rng.normal(size=3)
    plain = dict(theirs)
    for name, spec in SPECS.items():
        O, a, S = spec.W_shape
        kernel = rng.normal(size=(S, a, O))
        D = 0.1 * rng.normal(size=(spec.K, S, spec.in_channels))
        bias = rng.normal(size=O)
        theirs |= {f"{name}/kernel:0": kernel, f"{name}/D:0": D, f"{name}/bias:0": bias}
        composed = official_tf(spec, kernel, D).transpose(2, 1, 0)
        depthwise = name.endswith("depthwise")  # in Keras (*k, I, O/I)
        shape = (*spec.kernel_size, *((4, 2) if depthwise else (a, O)))
        plain |= {f"{name}/kernel:0": composed.reshape(shape), f"{name}/bias:0": bias}
    return theirs, plain


def with_values(plain: Checkpoint) -> keras.Model:
    """The plain network with a checkpoint's arrays, written by Keras alone."""
    model = network()
    layers = {layer.name: layer for layer in model.layers + model.get_layer("inner").layers}
    for key, array in plain.items():
        layer, name = key.removesuffix(":0").split("/")[-2:]
        (variable,) = (v for v in layers[layer].variables if v.name == name)
        variable.assign(array)
    return model


IMAGES = np.random.default_rng(1).normal(size=(2, 8, 8, 4)).astype(np.float32)


@pytest.mark.parametrize("suffix", [":0", ""])
@pytest.mark.parametrize("make", [convert, lambda model: model], ids=["trainable", "plain"])
def test_a_model_computes_what_the_official_one_does(make: Any, suffix: str) -> None:
    theirs, plain = official()
    ours = make(network())
    load_official(ours, {key.replace(":0", suffix): array for key, array in theirs.items()})
    np.testing.assert_allclose(
        run(ours, IMAGES), run(with_values(plain), IMAGES), rtol=1e-4, atol=1e-4
    )


def test_over_parameterized_layers_keep_D_by_its_channels() -> None:
    theirs, _ = official()
    ours = convert(network())
    load_official(ours, theirs)
    state = get_state(ours)
    assert state.keys() == SPECS.keys()
    D = theirs["inner/grouped/D:0"].transpose(2, 0, 1)
    rows = [0, 2, 4, 1, 3, 5]  # row a*g + q of theirs is channel q*(I/g) + a
    np.testing.assert_array_equal(state["inner/grouped"].D, D[rows].astype(np.float32))


UNFIT: dict[str, tuple[Checkpoint, list[str], str]] = {
    "a missing variable": ({}, ["norm/gamma:0"], r"missing=\['norm/gamma'\], unexpected=\[\]"),
    "a further variable": ({"tail/x:0": np.ones(1)}, [], r"unexpected=\['tail/x'\]"),
    "another shape": ({"head/bias:0": np.ones(4)}, [], r"`head/bias` must have shape \(3,\)"),
    "a plain layer": (
        {"stem/kernel:0": np.ones((3, 3, 4, 6))},
        ["stem/D:0"],
        r"missing=\['stem'\].*where=",
    ),
}


@pytest.mark.parametrize(("more", "less", "message"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_refused_and_the_model_stays(
    more: Checkpoint, less: list[str], message: str
) -> None:
    ours = convert(network())
    before = values(ours)
    theirs = {key: array for key, array in official()[0].items() if key not in less}
    with pytest.raises(ValueError, match=message):
        load_official(ours, theirs | more)
    for now, then in zip(values(ours), before, strict=True):
        np.testing.assert_array_equal(now, then)
