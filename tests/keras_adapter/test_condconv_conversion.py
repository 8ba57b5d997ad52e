"""convert, fold, summary and states of Keras models with CondConv layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import CondConvSpec, messages
from doconv_core.checkpoint import load, save
from doconv_core.costs.condconv import condconv_cost
from doconv_tf import (
    CondConv2D,
    DOConv2D,
    convert,
    convert_depthwise,
    fold,
    get_state,
    set_state,
    summary,
)
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.condconv_models import CondBlock, functional, trained
from tests.keras_adapter.helpers import batch, randomize, run, values

L = keras.layers


class Own(CondConv2D):
    """A subclass, whose call may compute anything."""


# --- convert and fold --------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_convert_gives_every_expert_a_D_and_changes_no_bit(inplace: bool) -> None:
    plain, x = trained(None), batch()[0]
    before, W = run(plain, x), plain.get_layer("grouped").kernel
    model = convert(plain, D_mul=11, inplace=inplace)
    np.testing.assert_array_equal(run(model, x), before)
    assert type(model.get_layer("stem")) is DOConv2D
    assert model.get_layer("depthwise").spec == CondConvSpec(6, 6, (3, 3), 6, 3, 11)
    assert model.get_layer("pointwise").D is None
    grouped = model.get_layer("grouped")
    assert tuple(grouped.D.shape) == (4, 8, 9, 11)
    assert (grouped._kernel is W) == inplace
    assert abs(to_numpy(grouped.W_extra)).max() > 0
    names = [v.path for v in model.variables]
    assert [v.path for v in convert(model, inplace=True).variables] == names
    if not inplace:
        assert plain.get_layer("grouped").D is None


def test_fold_gives_plain_condconv_and_twice_is_once() -> None:
    model, x = trained(), batch()[0]
    y = run(model, x)
    folded = fold(model)
    np.testing.assert_allclose(run(folded, x), y, rtol=1e-4, atol=1e-5)
    assert [type(layer) for layer in folded.layers] == [type(layer) for layer in model.layers]
    assert folded.get_config() == functional().get_config()
    assert [v.path for v in folded.variables] == [v.path for v in functional().variables]
    assert model.get_layer("grouped").D is not None
    kernel = model.get_layer("grouped")._kernel
    fold(model, inplace=True)
    assert model.get_layer("grouped").kernel is kernel
    for again in (model, fold(folded), fold(folded, inplace=True)):
        for ours, theirs in zip(values(again), values(folded), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_layer_of_the_user_s_own_is_copied_as_it_is_now() -> None:
    x = batch()[0]
    for D_mul, change in ((None, convert), ("K", fold)):
        inputs = keras.Input((8, 8, 4))
        model = keras.Model(inputs, CondBlock(D_mul)(inputs))
        randomize(model)
        changed = change(change(model))  # the second copies what the block does not know of
        again = (fold if change is convert else convert)(changed)
        for each in (changed, again):
            np.testing.assert_allclose(run(each, x), run(model, x), rtol=1e-4, atol=1e-5)
        spec = changed.layers[1].conv.spec
        assert spec.has_D == (change is convert)


@pytest.mark.parametrize("array", ["_kernel", "D"])
def test_what_is_not_finite_leaves_the_model_as_it_was(array: str) -> None:
    model = trained()
    layer = model.get_layer("grouped")
    variable = getattr(layer, array)
    value = to_numpy(variable)
    value[0, 1, 2] = np.inf
    variable.assign(value)
    with pytest.raises(ValueError, match="cannot fold layer 'grouped'"):
        fold(model, inplace=True)
    assert model.get_layer("depthwise").D is not None
    np.testing.assert_array_equal(to_numpy(variable), value)


def test_what_cannot_be_converted_is_left_with_the_reason() -> None:
    def replaced(layer: Any) -> Any:
        layer.call = lambda inputs: inputs
        return layer

    for layer, reason in [
        (CondConv2D(4, 1), messages.model.POINTWISE),
        (Own(4, 3), messages.model.OWN_FORWARD),
        (replaced(CondConv2D(4, 3)), messages.model.INSTANCE_FORWARD),
    ]:
        model = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 3), layer])
        convert(model, inplace=True)
        assert layer.D is None
        assert summary(model)[1].reason == reason
        if reason != messages.model.POINTWISE:
            with pytest.raises(ValueError, match="cannot over-parameterize the layer"):
                convert(layer, inplace=True)
    over = Own(4, 3, D_mul="K")
    over.build((None, 8, 8, 4))
    with pytest.raises(ValueError, match=messages.model.OWN_FORWARD):
        over.fold()
    with pytest.raises(ValueError, match="it must be built"):
        CondConv2D(4, 3, D_mul="K").fold()
    with pytest.raises(ValueError, match="its shape must be known"):
        convert(CondConv2D(4, 3), inplace=True)


def test_a_failure_half_way_leaves_the_model_as_it_was() -> None:
    def failing(shape: Any, dtype: Any = None) -> Any:
        if len(calls) == 4:  # four experts are made
            raise RuntimeError("no more values")
        calls.append(shape)
        return keras.ops.ones(shape, dtype)

    calls: list[Any] = []
    layers = [CondConv2D(4, 3), CondConv2D(4, 3, kernel_initializer=failing)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *layers])
    names = [v.path for v in model.variables]
    with pytest.raises(RuntimeError, match="no more values"):
        convert(model, D_mul=10, inplace=True)
    assert [v.path for v in model.variables] == names
    assert [layer.D_mul for layer in layers] == [None, None]


def test_convert_depthwise_leaves_condconv_alone() -> None:
    layers = [CondConv2D(4, 5, groups=4, padding="same"), L.DepthwiseConv2D(5, padding="same")]
    model = keras.Sequential([keras.Input((8, 8, 4)), *layers])
    kinds = [type(layer).__name__ for layer in convert_depthwise(model).layers]
    assert kinds == ["CondConv2D", "XSepConv2D"]


# --- summary and state -------------------------------------------------------------------


def test_summary_lists_the_layers_with_the_costs_of_the_core() -> None:
    rows = summary(trained(), (2, 8, 8, 4))
    assert [(row.name, row.kind, row.K, row.S, row.reason) for row in rows] == [
        ("stem", "Conv2D", 9, None, messages.model.CONVERTIBLE),
        ("depthwise", "DO-CondConv", 9, 9, ""),
        ("pointwise", "CondConv", 1, None, messages.model.POINTWISE),
        ("grouped", "DO-CondConv", 9, 9, ""),
    ]
    models = [functional(), functional("K"), fold(trained())]
    for row in list(rows)[1:]:
        sizes = [model.get_layer(row.name).count_params() for model in models]
        assert list(row.parameters) == sizes
    cost = condconv_cost(CondConvSpec(8, 6, (3, 3), 2, 4, 9), (2, 2), batch_size=2, bias=True)
    assert rows[3].macs == (cost.condconv.macs, cost.trained.macs, cost.folded.macs)
    unbuilt = summary(keras.Sequential([CondConv2D(4, 3, D_mul="K", name="conv")]))[0]
    assert (unbuilt.kind, unbuilt.K, unbuilt.macs) == ("DO-CondConv", 9, None)


def test_state_goes_through_a_file_to_another_model(tmp_path: Path) -> None:
    ours, theirs = (convert(trained(None), D_mul=11) for _ in range(2))
    randomize(ours, seed=1)
    state = get_state(ours)
    assert {name: each.spec.S for name, each in state.items()} == {
        "stem": 11, "depthwise": 11, "pointwise": 1, "grouped": 11
    }  # fmt: skip
    assert [name for name, each in state.items() if each.routing is not None] == ["grouped"]
    save(tmp_path / "file", state)
    set_state(theirs, load(tmp_path / "file"))
    theirs.get_layer("shared").set_weights(values(ours.get_layer("shared")))
    theirs.get_layer("head").set_weights(values(ours.get_layer("head")))
    np.testing.assert_array_equal(run(theirs, batch()[0]), run(ours, batch()[0]))
    before = values(theirs)
    state["depthwise"] = get_state(trained())["depthwise"]
    with pytest.raises(ValueError, match="the state of layer 'depthwise' must fit it"):
        set_state(theirs, state)
    for a, b in zip(values(theirs), before, strict=True):
        np.testing.assert_array_equal(a, b)
