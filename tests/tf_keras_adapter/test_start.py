"""D_init and W_extra_init: how a layer starts where somebody asks for another start.

What convert makes of them is in the star, tests/star/test_start.py.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import tf_keras

from doconv_core import identity, messages
from doconv_tf_keras import DOConv2D, convert
from tests.tf_keras_adapter.helpers import (
    batch,
    run,
    small_functional,
)


def built(**options: Any) -> DOConv2D:
    tf_keras.utils.set_random_seed(0)
    layer = DOConv2D(64, 3, **options)
    layer.build((None, 8, 8, 64))
    return layer


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_random_D_is_no_identity_and_keeps_the_variance_of_W(dtype: str) -> None:
    layer = built(D_init="random", dtype=dtype)
    whole = layer.D.numpy() + identity(9, 9)
    assert whole.var() == pytest.approx(1 / 9, rel=0.05)
    assert abs(whole).max() <= (3 / 9) ** 0.5 + 1e-6
    W, kernel = layer._kernel.numpy(), layer.fold().kernel.numpy()
    assert kernel.var() == pytest.approx(W.var(), rel=0.05)


@pytest.mark.parametrize("D_mul", [18, 20], ids=["copies", "copies and free columns"])
def test_the_authors_start_draws_all_columns_of_W_alike(D_mul: int) -> None:
    layer = built(D_mul=D_mul, W_extra_init="random")
    for W in (layer._kernel.numpy(), layer.W_extra.numpy()):
        assert W.var() == pytest.approx(1 / (3 * 64 * D_mul), rel=0.05)
        assert abs(W).max() <= (64 * D_mul) ** -0.5
    assert not layer.D.numpy().any()


def test_the_start_is_no_part_of_the_config_and_leaves_nothing_behind() -> None:
    layer = built(D_mul=20, D_init="random", W_extra_init="random")
    assert layer.get_config().keys() == built(D_mul=20).get_config().keys()
    x = np.ones((1, 5, 5, 64), np.float32)
    folded = layer.fold()
    np.testing.assert_allclose(run(folded, x), run(layer, x), rtol=1e-4, atol=1e-5)
    plain = tf_keras.layers.Conv2D(64, 3)
    plain.build((None, 8, 8, 64))
    assert vars(folded).keys() == vars(plain).keys()


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
