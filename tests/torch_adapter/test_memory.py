"""A layer's kernel and W's gradient take turns in one array; who keeps one finds it unchanged."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from doconv_core.native import library, products
from doconv_torch import DOConv2d
from doconv_torch.tensors import memory

pytestmark = pytest.mark.skipif(not products.is_available(), reason=library.status())

CHANNELS = 176  # 1.1 MB of W


def layer(channels: int = CHANNELS) -> DOConv2d:
    torch.manual_seed(0)
    made = DOConv2d(channels, channels, 3, padding=1)
    nn.init.normal_(made.D, std=0.1)
    return made


def step(layer: nn.Module, seed: int = 0) -> Tensor:
    """Forward and backward; returns the loss."""
    torch.manual_seed(seed)
    loss = layer(torch.randn(1, CHANNELS, 4, 4)).square().sum()
    loss.backward()
    return loss


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of arrays that were made."""
    sizes: list[int] = []
    make = memory._aligned
    monkeypatch.setattr(memory, "_aligned", lambda size: sizes.append(size) or make(size))
    return sizes


def held() -> int:
    """Arrays that nobody uses, of all layers."""
    gc.collect()
    return sum(map(len, memory._spare.values()))


def test_all_steps_are_made_in_one_array(made: list[int]) -> None:
    model, before = layer(), held()
    for _ in range(4):
        step(model)
        model.zero_grad()
    assert made == [model.weight.nbytes]
    assert held() == before + 1


def test_evaluation_uses_it_too(made: list[int]) -> None:
    model = layer().eval()
    for _ in range(3):
        with torch.inference_mode():
            model(torch.ones(1, CHANNELS, 4, 4))
    assert len(made) == 1


def test_micro_batches_use_a_second_one_and_one_is_kept(made: list[int]) -> None:
    model, before = layer(), held()
    for _ in range(2):
        for seed in range(3):
            step(model, seed)
        model.zero_grad()
        assert held() == before + 1
    assert len(made) <= 3


def test_it_ends_with_the_layer() -> None:
    before = held()
    model = layer()
    step(model)
    model.zero_grad()
    assert held() == before + 1
    del model
    assert held() == before


def test_small_arrays_are_pytorchs_own(made: list[int]) -> None:
    small = layer(8)
    small(torch.ones(1, 8, 4, 4)).sum().backward()
    assert made == []


KEPT: dict[str, Callable[[DOConv2d], Tensor]] = {
    "the kernel": lambda model: model.composed_kernel(),
    "a view of it": lambda model: model.composed_kernel().detach()[0, :, 1:],
    "as NumPy's": lambda model: torch.from_numpy(model.composed_kernel().detach().numpy()[1:]),
    "the gradient": lambda model: (step(model), model.weight.grad)[1],
}


@pytest.mark.parametrize("take", KEPT.values(), ids=KEPT)
def test_what_somebody_keeps_stays(take: Callable[[DOConv2d], Tensor]) -> None:
    model = layer()
    step(model)
    model.zero_grad()
    kept = take(model)
    before = kept.detach().clone()
    with torch.no_grad():
        model.weight.mul_(2)
    for seed in range(3):
        model.zero_grad()
        step(model, seed)
    assert torch.equal(kept, before)


def test_a_graph_that_is_kept_gives_the_same_gradients_again() -> None:
    model, x = layer(), torch.ones(1, CHANNELS, 4, 4)  # the convolution keeps the kernel for x only
    for given in (x, x.clone().requires_grad_()):
        loss = model(given).square().sum()
        first, second = (
            torch.autograd.grad(loss, (model.weight, model.D), retain_graph=True) for _ in range(2)
        )
        assert all(map(torch.equal, first, second))


def test_a_layer_used_twice_has_a_kernel_for_each(made: list[int]) -> None:
    model = layer()
    twice = nn.Sequential(model, model)
    step(twice)
    found = model.weight.grad
    model.zero_grad()
    with products.unused():
        step(twice)
    torch.testing.assert_close(found, model.weight.grad)
    assert len(made) >= 2


def test_threads_do_not_share_it() -> None:
    model = layer()
    inputs = [torch.randn(1, CHANNELS, 4, 4) for _ in range(4)]

    def gradient(x: Tensor) -> Tensor:
        return torch.autograd.grad(model(x).square().sum(), model.weight)[0].clone()

    expected = [gradient(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(gradient, 4 * inputs))
    assert all(map(torch.equal, found, 4 * expected))


def test_gradients_are_copied_pickled_and_shared_as_any() -> None:
    model = layer()
    step(model)
    grad = model.weight.grad
    assert grad is not None
    expected = grad.clone()
    assert torch.equal(copy.deepcopy(grad), expected)
    assert torch.equal(pickle.loads(pickle.dumps(grad)), expected)
    assert torch.equal(grad.share_memory_(), expected)


def test_a_copy_has_its_own() -> None:
    model = layer()
    step(model)
    model.zero_grad()
    before = held()
    other = copy.deepcopy(model)
    step(other)
    other.zero_grad()
    assert held() == before + 1
