"""Subclasses of Keras's convolutions: one that only constructs its layer otherwise is converted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import messages
from doconv_tf import DOConv2D, convert, fold, summary
from tests.keras_adapter.helpers import batch, randomize_D, run

L = keras.layers


@keras.saving.register_keras_serializable(package="doconv_tests_subclasses")
class Same(L.Conv2D):
    """Constructed otherwise, and described by its config."""

    default = "a class attribute that Conv2D does not know"

    def __init__(self, filters: int, kernel_size: Any = 3, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **kwargs})
        self.of_its_own = 7

    def helper(self) -> int:
        return self.of_its_own


class Further(Same):
    """A subclass of a subclass."""


class OtherCall(L.Conv2D):
    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


class OtherOperation(L.Conv2D):
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return 2 * super().convolution_op(inputs, kernel)


class OtherBuild(L.Conv2D):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)


class OtherKernel(L.Conv2D):
    @property
    def kernel(self) -> Any:
        return 2 * super().kernel


def _standardized(host: Any, name: str = "kernel") -> type[L.Layer]:
    """A host whose kernel is computed from the one it keeps."""

    def kernel(self: Any) -> Any:
        return self._raw - keras.ops.mean(self._raw, axis=0, keepdims=True)

    def keep(self: Any, value: Any) -> None:
        self._raw = value

    return type(f"Standardized{host.__name__}", (host,), {name: property(kernel, keep)})


class NameTaken(L.Conv2D):
    D = 3


class BelowAnotherCall(OtherCall):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class OfOurs(DOConv2D):
    """Of ours there is no plain form of its own."""


def _model(layer: L.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 4)), layer, L.Conv2D(3, 3)])


@pytest.mark.parametrize("kind", [Same, Further], ids=lambda kind: kind.__name__)
def test_one_that_is_only_constructed_otherwise_is_converted_and_comes_back(kind: Any) -> None:
    model, (x, _) = _model(kind(4, name="mine")), batch()
    y = run(model, x)
    converted = convert(model)
    np.testing.assert_array_equal(run(converted, x), y)
    mine = converted.get_layer("mine")
    assert isinstance(mine, kind)
    assert isinstance(mine, DOConv2D)
    assert (type(mine).__name__, mine.helper()) == (f"DO{kind.__name__}", 7)
    assert type(convert(model).get_layer("mine")) is type(mine)
    assert [row.kind for row in summary(converted)] == [f"DO{kind.__name__}", "DOConv2D"]

    randomize_D(converted)
    y = run(converted, x)
    for folded in (fold(converted), fold(pickle.loads(pickle.dumps(converted)))):
        assert type(folded.get_layer("mine")) is kind
        np.testing.assert_allclose(run(folded, x), y, rtol=1e-4, atol=1e-5)
    assert type(fold(converted, inplace=True).get_layer("mine")) is kind


def test_its_files(tmp_path: Path) -> None:
    model, (x, _) = convert(_model(Same(4))), batch()
    randomize_D(model)
    model.save(tmp_path / "unfolded.keras")
    fold(model).save(tmp_path / "folded.keras")
    for name in ("unfolded", "folded"):
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(run(loaded, x), run(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [
        OtherCall,
        OtherOperation,
        OtherBuild,
        OtherKernel,
        NameTaken,
        BelowAnotherCall,
        _standardized(L.DepthwiseConv2D, "_kernel"),
        _standardized(L.DepthwiseConv2D),
        _standardized(L.SeparableConv2D, "depthwise_kernel"),
        _standardized(L.Conv2DTranspose),
    ],
    ids=lambda kind: kind.__name__,
)
def test_one_that_may_compute_something_else_is_left(kind: Any) -> None:
    given = (3,) if issubclass(kind, L.DepthwiseConv2D) else (4, 3)
    model, (x, _) = _model(kind(*given)), batch()
    y = run(model, x)
    converted = convert(model)
    assert [row.reason for row in summary(converted)] == [messages.model.OWN_FORWARD, ""]
    np.testing.assert_array_equal(run(converted, x), y)


def test_a_name_of_ours_on_a_layer() -> None:
    layer = L.Conv2D(4, 3)
    layer.spec = "the user's"
    model = convert(_model(layer), inplace=True)
    assert [row.reason for row in summary(model)] == [messages.model.NAME_TAKEN, ""]
    assert layer.spec == "the user's"


def test_a_subclass_of_ours_says_that_its_plain_form_is_not_known() -> None:
    model = _model(OfOurs(4, 3))
    with pytest.raises(ValueError, match="may compute something else"):
        fold(model)
