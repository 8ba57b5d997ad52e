"""What the shapes of a layer's arrays tell, for any layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.entries import held
from doconv_cli.files.layers.find import find_layers
from doconv_cli.files.layers.layers import DOLayer
from doconv_core import DOConvSpec, LayerState, compose_kernel
from doconv_core.kernel.layout import from_canonical


class File:
    """A file's arrays, without a file."""

    separators = "."
    source = "torch"

    def __init__(self, arrays: Mapping[str, np.ndarray], recorded: Mapping[str, bool]) -> None:
        self.arrays = {key: held(array, array.dtype.name) for key, array in arrays.items()}
        self.recorded = recorded


@st.composite
def specs(draw: st.DrawFn) -> DOConvSpec:
    size = st.integers(1, 3)
    groups, kernel_size = draw(size), tuple(draw(st.lists(size, min_size=1, max_size=3)))
    K = int(np.prod(kernel_size))
    channels = (groups * draw(size) for _ in "IO")
    return DOConvSpec(
        *channels, kernel_size, groups, K + draw(st.integers(0, 4)), draw(st.booleans())
    )


def stored(spec: DOConvSpec, *, bias: bool) -> tuple[LayerState, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    D = rng.normal(size=spec.D_shape)
    state = LayerState(spec, rng.normal(size=spec.W_shape), D, np.zeros(spec.out_channels))
    arrays = {"a.weight": pytorch_layout(spec, state.W[..., : spec.K]), "a.D": D}
    if spec.extra_columns:
        arrays["a.W_extra"] = pytorch_layout(spec, state.W[..., spec.K :], spatial=False)
    if bias:
        arrays["a.bias"] = np.zeros(spec.out_channels)
    return state, arrays


def pytorch_layout(spec: DOConvSpec, array: np.ndarray, *, spatial: bool = True) -> np.ndarray:
    return from_canonical(spec, array, "IOk" if spec.transposed else "OIk", spatial=spatial)


def kernel(layer: DOLayer) -> np.ndarray:
    (made,) = layer.plain("float64").values()
    return made.make()


def only(file: File, hints: Hints) -> DOLayer:
    (layer,) = find_layers(file, hints)
    assert isinstance(layer, DOLayer)
    return layer


@given(specs().filter(lambda spec: spec.has_D), st.booleans())
def test_a_layer_is_found_as_what_it_is(spec: DOConvSpec, bias: bool) -> None:
    state, arrays = stored(spec, bias=bias)
    expected = pytorch_layout(spec, compose_kernel(spec, state.W, state.D))

    said = Hints(transposed=["a"] if spec.transposed else ())
    for file, hints in (
        (File(arrays, {"a": spec.transposed}), Hints()),  # the file says it
        (File(arrays, {}), said),  # an option says it, or the shapes do
    ):
        layer = only(file, hints)
        if spec.transposed or not layer.ambiguous:
            assert layer.spec.transposed == spec.transposed
        assert layer.groups in (spec.groups, None)
        assert layer.groups is not None or (spec.transposed and not bias)
        np.testing.assert_array_equal(kernel(layer), expected)


@given(specs().filter(lambda spec: spec.has_D), st.booleans())
def test_what_is_not_said_is_told_by_shapes_or_reported(spec: DOConvSpec, bias: bool) -> None:
    state, arrays = stored(spec, bias=bias)
    layer = only(File(arrays, {}), Hints())
    if not layer.ambiguous:  # whatever it is taken for, its kernel is this one
        expected = pytorch_layout(spec, compose_kernel(spec, state.W, state.D))
        np.testing.assert_array_equal(kernel(layer), expected)
    if spec.in_channels != spec.out_channels and (bias or not spec.transposed):
        assert not layer.ambiguous
