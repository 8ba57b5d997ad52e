"""summary: a row per convolution, with the costs of the core."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from doconv_core import DOConvSpec, SummaryRow, layer_cost, messages
from doconv_tf import convert, summary
from doconv_tf.layers.do_conv import DOConv2D
from tests.keras_adapter.helpers import batch, run, small_functional

L = keras.layers


def test_rows_of_a_converted_model_with_the_real_sizes() -> None:
    model = convert(small_functional())
    rows = {row.name: row for row in summary(model, (2, 8, 8, 4))}
    assert list(rows) == ["stem", "depthwise", "inner/conv", "separable", "up", "pointwise"]

    stem = layer_cost(DOConvSpec(4, 6, (3, 3)), (8, 8), batch_size=2, bias=True)
    assert rows["stem"] == SummaryRow(
        "stem",
        "DOConv2D",
        9,
        9,
        (stem.plain.parameters, stem.kernel.parameters, stem.folded.parameters),
        (stem.plain.macs, stem.kernel.macs, stem.folded.macs),
        added=4 * 9 * 9,
        added_bytes=4 * 4 * 9 * 9,
    )
    separable = layer_cost(DOConvSpec(6, 6, (3, 3), 6), (6, 6), batch_size=2)
    separable += layer_cost(DOConvSpec(6, 6, (1, 1)), (6, 6), batch_size=2, bias=True)
    assert rows["separable"].parameters[1] == separable.kernel.parameters
    assert rows["separable"].macs[1] == separable.kernel.macs
    up = DOConvSpec(6, 5, (2, 2), transposed=True)
    up_cost = layer_cost(up, (12, 12), input_size=(6, 6), batch_size=2, bias=True)
    assert rows["up"].macs[0] == up_cost.plain.macs
    assert rows["pointwise"].reason == messages.model.POINTWISE
    assert rows["pointwise"].macs[0] == 2 * 12 * 12 * 5 * 4

    parameters = [row.parameters for row in rows.values()]
    assert sum(trained - plain for plain, trained, _ in parameters) == sum(
        int(np.prod(v.shape)) for v in model.variables if v.name == "D"
    )


def test_rows_of_a_plain_model_and_without_an_input() -> None:
    for row in summary(small_functional()):
        assert row.reason == (
            messages.model.POINTWISE if row.name == "pointwise" else messages.model.CONVERTIBLE
        )
        assert row.S is None
        assert row.macs is None
        assert len(set(row.parameters)) == 1


def test_totals_and_what_conversion_would_add() -> None:
    plain = small_functional()
    forecast, totals = summary(plain).totals, summary(convert(plain)).totals
    D = sum(int(np.prod(v.shape)) for v in convert(plain).variables if v.name == "D")
    assert (forecast.convolutions, forecast.converted, forecast.convertible) == (6, 0, 5)
    assert (totals.convolutions, totals.converted, totals.convertible) == (6, 5, 0)
    assert forecast.forecast == totals.added == D
    assert forecast.forecast_bytes == totals.added_bytes == 4 * D
    assert totals.parameters[1] - totals.parameters[0] == D
    assert f"convert() would add {D:,} parameters" in str(summary(plain))
    assert "5 of 6 converted" in str(summary(convert(plain)))


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float32"])
def test_bytes_are_those_of_the_type(policy: str) -> None:
    layer = DOConv2D(6, 3, dtype=policy)
    layer.build((None, 8, 8, 4))
    (row,) = summary(layer)
    assert row.added_bytes == 4 * 9 * 9 * {"float16": 2, "bfloat16": 2, "float32": 4}[policy]


def test_an_example_is_as_good_as_its_shape_and_nothing_changes() -> None:
    model, x = convert(small_functional()), batch()[0]
    before, y = [dict(vars(layer)) for layer in model.layers], run(model, x)
    assert summary(model, x) == summary(model, x.shape)
    assert [dict(vars(layer)) for layer in model.layers] == before
    np.testing.assert_array_equal(run(model, x), y)


def test_a_layer_called_twice_counts_twice() -> None:
    conv = L.Conv2D(4, 3, padding="same")
    inputs = keras.Input((8, 8, 4))
    (row,) = summary(keras.Model(inputs, conv(conv(inputs))), (1, 8, 8, 4))
    assert row.macs[0] == 2 * 64 * 9 * 16
    assert row.parameters[0] == 9 * 16 + 4


def test_feature_composition_has_its_own_cost() -> None:
    layer = DOConv2D(6, 3, composition="feature")
    (row,) = summary(keras.Sequential([keras.Input((8, 8, 4)), layer]), (1, 8, 8, 4))
    cost = layer_cost(DOConvSpec(4, 6, (3, 3)), (6, 6), bias=True)
    assert row.macs == (cost.plain.macs, cost.feature.macs, cost.folded.macs)


def test_channels_first() -> None:
    layer = L.Conv2D(6, 3, data_format="channels_first")
    (row,) = summary(keras.Sequential([keras.Input((4, 8, 7)), layer]), (1, 4, 8, 7))
    assert row.macs[0] == 6 * 5 * 9 * 4 * 6


def test_a_layer_that_is_not_built_has_no_costs() -> None:
    (row,) = summary(keras.Sequential([L.Conv2D(6, 3, name="conv")]))
    assert row == SummaryRow("conv", "Conv2D", 9, reason=messages.model.CONVERTIBLE)


def test_the_root_and_a_failing_input() -> None:
    layer = L.Conv2D(6, 3)
    layer.build((None, 8, 8, 4))
    (row,) = summary(layer, (1, 8, 8, 4))
    assert (row.name, row.macs[0]) == ("", 36 * 9 * 24)
    with pytest.raises(ValueError, match="incompatible"):
        summary(layer, (1, 8, 8, 3))
    assert "call" not in vars(layer)
