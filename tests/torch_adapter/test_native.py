"""The core's compiled kernel on PyTorch's arrays: where it is used, where it must not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from doconv_core.native import library, products
from doconv_torch import DOConv2d, DOConvTranspose2d, OptimizerDOConv, convert
from doconv_torch.tensors import arithmetic, native
from doconv_torch.tensors.composition import compose

pytestmark = pytest.mark.skipif(not products.is_available(), reason=library.status())

O, I = 70, 130


def turned(array: Tensor) -> Tensor:
    """The same values, (O, K, I) in memory."""
    return array.mT.contiguous().mT


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda array: array,
    "channels_last": turned,
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def arrays(layout: Callable[[Tensor], Tensor] = LAYOUTS["contiguous"]) -> list[Tensor]:
    """W, D and a kernel's gradient."""
    torch.manual_seed(0)
    return [layout(torch.randn(O, I, 9)), torch.randn(I, 9, 9), layout(torch.randn(O, I, 9))]


def both(W: Tensor, D: Tensor, G: Tensor) -> list[Tensor]:
    return [arithmetic.compose(W, D), *arithmetic.pull_back(G, W, D)]


@every_layout
def test_it_computes_what_the_library_does(layout: Callable[[Tensor], Tensor]) -> None:
    W, D, G = arrays(layout)
    assert native.fits(W, D, G)
    found = both(W, D, G)
    with products.unused():
        expected = both(W.double(), D.double(), G.double())
    for actual, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(actual.double(), exact, rtol=1e-5, atol=1e-4)
    assert found[0].stride() == found[1].stride() == W.stride()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@every_layout
def test_the_bits_are_the_same_for_any_number_of_threads(
    layout: Callable[[Tensor], Tensor], threads: None
) -> None:
    torch.set_num_threads(1)
    expected = both(*arrays(layout))
    for count in (2, 3):
        torch.set_num_threads(count)
        assert all(map(torch.equal, both(*arrays(layout)), expected))


def test_what_is_written_in_place_is_counted_as_written() -> None:
    W, D, G = arrays()
    kernel = torch.empty_like(W)
    versions = kernel._version, G._version
    arithmetic.compose_into(kernel, W, D)
    arithmetic.pull_back_into(G, G, W, D)
    assert (kernel._version, G._version) == (versions[0] + 1, versions[1] + 1)
    assert W._version == 0


def test_in_inference_mode_there_is_nothing_to_count() -> None:
    W, D, _ = arrays()
    with torch.inference_mode():
        assert torch.equal(arithmetic.compose(W.clone(), D), arithmetic.compose(W, D))


class Subclass(Tensor):
    pass


REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "float64": Tensor.double,
    "bfloat16": Tensor.bfloat16,
    "other device": lambda W: W.to("meta"),
    "other kernel size": lambda W: W[:, :, :4].clone(),
    "gaps between rows": lambda W: W[:, : I // 2],
    "nothing in it": lambda W: W[:0],
    "negative when read": torch._neg_view,
    "subclass": lambda W: W.as_subclass(Subclass),
    "zeros without memory": lambda W: torch._efficientzerotensor(W.shape),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_other_arrays_are_refused(make: Callable[[Tensor], Tensor]) -> None:
    W, D, G = arrays()
    assert native.fits(W, D, G)
    assert not native.fits(make(W), D)
    assert not native.fits(W, D, make(G))


def test_arrays_of_two_layouts_are_refused() -> None:
    W, D, G = arrays()
    assert not native.fits(W, D, turned(G))


def composed(W: Tensor, D: Tensor) -> Tensor:
    return compose(W, D, None, (W.shape[1], W.shape[0]), 1, False, [3, 3], 9)


def composed_twice(W: Tensor, D: Tensor) -> Tensor:
    return composed(composed(W, D), D)


def small() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 4, 3, 3), torch.randn(4, 9, 9)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_transform_sees_operators() -> None:
    W, D = small()
    Ws = torch.stack([W, 2 * W])
    expected = torch.stack([composed(each, D) for each in Ws])
    torch.testing.assert_close(vmap(composed, (0, None))(Ws, D), expected)
    found = grad(lambda D: composed(W, D).square().sum())(D)
    D.requires_grad_()
    composed(W, D).square().sum().backward()
    torch.testing.assert_close(found, D.grad)


def test_a_tracer_sees_operators() -> None:
    W, D = small()
    traced = make_fx(composed_twice)(W, D)
    other = (W + 1, D - 1)
    torch.testing.assert_close(traced(*other), composed_twice(*other))


def test_a_counter_of_flops_sees_the_products() -> None:
    W, D = small()
    with FlopCounterMode(display=False) as counter:
        composed(W, D)
    assert counter.get_total_flops() == 2 * W.numel() * 9


def test_fake_arrays_have_no_values() -> None:
    with FakeTensorMode():
        layer = DOConv2d(4, 8, 3)
        assert layer.composed_kernel().shape == (8, 4, 3, 3)


@pytest.mark.parametrize(
    ("layer", "used"),
    [
        pytest.param(lambda: DOConv2d(8, 8, 3), True, id="one group"),
        pytest.param(lambda: DOConv2d(8, 8, 3, groups=2), True, id="groups"),
        pytest.param(
            lambda: DOConv2d(8, 8, 3, groups=2).to(memory_format=torch.channels_last),
            False,  # another order than both of the kernel's
            id="groups, channels last",
        ),
        pytest.param(lambda: DOConv2d(8, 8, 3, groups=8), False, id="depthwise"),
        pytest.param(lambda: DOConvTranspose2d(8, 8, 3), False, id="transposed"),
        pytest.param(lambda: DOConv2d(8, 8, 3, D_mul=12), False, id="D_mul > K"),
        pytest.param(lambda: DOConv2d(8, 8, 5), False, id="5x5"),
    ],
)
def test_which_layers_it_is_for(
    layer: Callable[[], nn.Module], used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    for name in ("compose", "pull_back"):
        monkeypatch.setattr(products, name, _counted(getattr(products, name), called))
    layer()(torch.randn(1, 8, 6, 6)).sum().backward()
    assert called == (["compose", "pull_back"] if used else [])


def _counted(function: Callable[..., Any], called: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        called.append(function.__name__)
        return function(*arguments, **options)

    return counted


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("way", ["layers", "at the optimizer"])
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"]
)
def test_training_with_it_is_training_without(way: str, groups: int, memory_format: Any) -> None:
    def after_three_steps() -> dict[str, Tensor]:
        torch.manual_seed(0)
        net: nn.Module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1, groups=groups)
        ).to(memory_format=memory_format)
        net = convert(net) if way == "layers" else net
        optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9)
        over = OptimizerDOConv(net, optimizer) if way != "layers" else None
        x = torch.randn(2, 3, 8, 8).to(memory_format=memory_format)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        state = net.state_dict()
        return {**state, **({} if over is None else over.state_dict()["2"])}

    found = after_three_steps()
    with products.unused():
        expected = after_three_steps()
    assert found.keys() == expected.keys()
    for name, array in found.items():
        torch.testing.assert_close(array, expected[name], msg=name)
    assert any(not torch.equal(found[name], expected[name]) for name in found)  # rounded otherwise
    assert max(float(found[name].abs().max()) for name in found if name.endswith("D")) > 0
