"""D_init and W_extra_init: how a layer starts where somebody asks for another start."""

from __future__ import annotations

import logging
from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import identity, messages
from doconv_tf import CondConv2D, DOConv2D, convert, fold
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import batch, run, small_functional, values

L = keras.layers


def _built(**options: Any) -> DOConv2D:
    keras.utils.set_random_seed(0)
    layer = DOConv2D(64, 3, **options)
    layer.build((None, 8, 8, 64))
    return layer


def test_a_random_D_is_no_identity_and_keeps_the_variance_of_W() -> None:
    layer = _built(D_init="random")
    whole = to_numpy(layer.D) + identity(9, 9)
    assert whole.var() == pytest.approx(1 / 9, rel=0.05)
    assert abs(whole).max() <= (3 / 9) ** 0.5 + 1e-6
    assert to_numpy(layer.kernel).var() == pytest.approx(to_numpy(layer._kernel).var(), rel=0.05)


@pytest.mark.parametrize("D_mul", [18, 20], ids=["copies", "copies and free columns"])
def test_the_authors_start_draws_all_columns_of_W_alike(D_mul: int) -> None:
    layer = _built(D_mul=D_mul, W_extra_init="random")
    for W in map(to_numpy, (layer._kernel, layer.W_extra)):
        assert W.var() == pytest.approx(1 / (3 * 64 * D_mul), rel=0.05)
        assert abs(W).max() <= (64 * D_mul) ** -0.5
    assert not to_numpy(layer.D).any()


def test_the_start_is_no_part_of_the_config() -> None:
    layer = _built(D_mul=20, D_init="random", W_extra_init="random")
    assert layer.get_config().keys() == _built(D_mul=20).get_config().keys()
    x = np.ones((1, 5, 5, 64), np.float32)
    np.testing.assert_allclose(run(layer.fold(), x), run(layer, x), rtol=1e-4, atol=1e-5)


def _experts() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 4)), CondConv2D(3, 3, num_experts=2)])


@pytest.mark.parametrize("build", [small_functional, _experts], ids=["network", "experts"])
@pytest.mark.parametrize("D_mul", [18, 20, 29])
def test_convert_keeps_the_output_with_the_authors_columns(build: Any, D_mul: int) -> None:
    plain, x = build(), batch()[0]
    kept, y = values(plain), run(plain, x)
    model = convert(plain, D_mul=D_mul, W_extra_init="random")
    for one, other in zip(values(plain), kept, strict=True):
        np.testing.assert_array_equal(one, other)
    for each in (model, fold(model)):
        np.testing.assert_allclose(run(each, x), y, rtol=1e-4, atol=1e-5)
    assert all(np.all(to_numpy(v)) for v in model.variables if v.name == "W_extra")


def test_convert_tells_that_a_random_D_changes_the_output(caplog: pytest.LogCaptureFixture) -> None:
    plain, x = small_functional(), batch()[0]
    with caplog.at_level(logging.WARNING, "doconv"):
        model = convert(plain, D_init="random")
    said = messages.model.random_start(5)
    assert ("doconv", logging.WARNING, said) in caplog.record_tuples
    assert not np.allclose(run(model, x), run(plain, x), atol=1e-3)


@pytest.mark.parametrize("name", ["D_init", "W_extra_init"])
def test_an_unknown_start_is_an_error(name: str) -> None:
    options: dict[str, Any] = {name: "ones"}
    for make in (lambda: DOConv2D(4, 3, **options), lambda: convert(small_functional(), **options)):
        with pytest.raises(ValueError, match=rf"`{name}` must be one of .*Received: {name}='ones'"):
            make()
