"""get_state and set_state: the arrays of a model, for any framework."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from doconv_core import DOConvSpec, LayerState, State, compose_kernel, messages
from doconv_core.kernel.layout import from_canonical
from doconv_torch import convert, fold, get_state, set_state
from tests.torch_adapter.helpers import everything, images, network, trained_network


def test_state_is_canonical_and_a_copy() -> None:
    model = trained_network(D_mul=11)
    state = get_state(model)
    assert list(state) == ["0", "3", "6", "7"]
    assert state["7"].spec == DOConvSpec(6, 4, (2, 2), 1, 11, transposed=True)
    for name, layer in state.items():
        kernel = compose_kernel(layer.spec, layer.W, layer.D)
        layout = "IOk" if layer.spec.transposed else "OIk"
        ours = model.get_submodule(name).composed_kernel().detach().numpy()
        np.testing.assert_allclose(from_canonical(layer.spec, kernel, layout), ours, atol=1e-6)
    before = everything(model)
    for layer in state.values():
        for array in (layer.W, layer.D, layer.bias):
            if array is not None:
                array[...] = 7
    assert everything(model) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_goes_round_in_any_type(dtype: torch.dtype) -> None:
    model, twin = trained_network(D_mul=11).to(dtype), convert(network(3), D_mul=11).to(dtype)
    set_state(twin, get_state(model))
    for name in CONVERTED:
        for key, value in model.get_submodule(name).state_dict().items():
            assert torch.equal(twin.get_submodule(name).state_dict()[key], value)


CONVERTED = ("0", "3", "6", "7")


def test_bfloat16_comes_as_float32() -> None:
    state = get_state(trained_network().bfloat16())
    assert {layer.W.dtype.name for layer in state.values()} == {"float32"}


def of_another_layout(array: np.ndarray) -> np.ndarray:
    strange = array[::-1].copy()[::-1]  # negative strides, which torch refuses
    strange.setflags(write=False)  # and not writable, of which it warns
    return strange


def test_arrays_of_any_origin_can_be_written() -> None:
    model, twin = trained_network(D_mul=11), convert(network(3), D_mul=11)
    state = {
        name: dataclasses.replace(layer, W=of_another_layout(layer.W), D=of_another_layout(layer.D))
        for name, layer in get_state(model).items()
    }
    set_state(twin, state)
    assert torch.equal(twin[6].composed_kernel(), model[6].composed_kernel())


def test_written_parameters_stay_what_they_were() -> None:
    model, twin = trained_network(), convert(network(3)).eval()
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    set_state(twin, get_state(model))
    twin(images()).sum().backward()
    optimizer.step()
    assert twin[0].D.requires_grad
    assert not torch.equal(twin[0].D, model[0].D)


def without(state: State) -> State:
    return {name: layer for name, layer in state.items() if name != "6"}


def with_more(state: State) -> State:
    return {**state, "8": state["6"]}


def last_of(**changes: object) -> Callable[[State], State]:
    return lambda state: {**state, "7": dataclasses.replace(state["7"], **changes)}


def other_D_mul(state: State) -> State:
    spec = dataclasses.replace(state["7"].spec, D_mul=5)
    return {**state, "7": LayerState(spec, np.zeros(spec.W_shape), np.zeros(spec.D_shape), None)}


def big_endian(state: State) -> State:
    return last_of(W=state["7"].W.astype(">f4"))(state)


MISFITS: dict[str, tuple[Callable[[State], State], type[Exception], str]] = {
    "missing": (without, ValueError, r"missing=\['6'\]"),
    "unexpected": (with_more, ValueError, r"unexpected=\['8'\]"),
    "no-bias": (last_of(bias=None), ValueError, "layer '7' must fit"),
    "other-D_mul": (other_D_mul, ValueError, "layer '7' must fit"),
    "a-type-torch-lacks": (big_endian, ValueError, "byte order"),
}


@pytest.mark.parametrize(("change", "kind", "text"), MISFITS.values(), ids=MISFITS.keys())
def test_a_misfit_leaves_the_model_whole(
    change: Callable[[State], State], kind: type[Exception], text: str
) -> None:
    model = trained_network()
    state = change(get_state(convert(network(3))))
    before = everything(model)
    with pytest.raises(kind, match=text):
        set_state(model, state)
    assert everything(model) == before


def test_a_model_without_values_has_no_state() -> None:
    model = trained_network()
    model[6].to("meta")
    reason = messages.model.cannot_read("6", messages.model.NO_VALUES_YET)
    with pytest.raises(ValueError, match=re.escape(reason)):
        get_state(model)
    before = model[0].weight.clone()
    with pytest.raises(ValueError, match=re.escape(reason)):
        set_state(model, get_state(trained_network()))
    assert torch.equal(model[0].weight, before)


def test_a_plain_model_has_an_empty_state() -> None:
    assert get_state(network()) == get_state(fold(trained_network())) == {}
