"""D_init and W_extra_init: how a layer starts where somebody asks for another start."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from doconv_core import messages
from doconv_torch import CondConv2d, DOConv2d, DOConvTranspose2d, convert, fold
from doconv_torch.model.walk import over_parameterized
from tests.torch_adapter.helpers import ConvSame, images, network


def variance(tensor: torch.Tensor) -> float:
    return tensor.detach().var().item()


def test_a_random_D_is_no_identity_and_keeps_the_variance_of_W() -> None:
    torch.manual_seed(0)
    layer = DOConv2d(64, 64, 3, D_init="random")
    for _ in range(2):
        whole = layer.D + torch.eye(9)
        assert variance(whole) == pytest.approx(1 / 9, rel=0.05)
        assert whole.abs().max() <= (3 / 9) ** 0.5 + 1e-6
        assert variance(layer.composed_kernel()) == pytest.approx(variance(layer.weight), rel=0.05)
        layer.reset_parameters()


@pytest.mark.parametrize("D_mul", [18, 20], ids=["copies", "copies and free columns"])
def test_the_authors_start_draws_all_columns_of_W_alike(D_mul: int) -> None:
    torch.manual_seed(0)
    layer = DOConv2d(64, 64, 3, D_mul=D_mul, W_extra_init="random")
    for _ in range(2):
        expected = 1 / (3 * 64 * D_mul)  # kaiming_uniform_(a=sqrt(5)) of the authors' (O, I, S)
        assert variance(layer.weight) == pytest.approx(expected, rel=0.05)
        assert variance(layer.W_extra) == pytest.approx(expected, rel=0.05)
        assert layer.W_extra.abs().max() <= (64 * D_mul) ** -0.5
        assert not layer.D.any()
        layer.reset_parameters()


def test_the_usual_start_is_the_usual_one() -> None:
    torch.manual_seed(0)
    one = DOConv2d(3, 4, 3, D_mul=20)
    torch.manual_seed(0)
    other = DOConv2d(3, 4, 3, D_mul=20, D_init="identity", W_extra_init="zeros")
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert vars(one).keys() == vars(other).keys()


MODELS: dict[str, Any] = {
    "network": network,
    "experts": lambda: nn.Sequential(CondConv2d(3, 4, 3, num_experts=2, groups=1)),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(3, 6, 3, groups=3)),
    "channels_last": lambda: network().to(memory_format=torch.channels_last),
    "subclass": lambda: nn.Sequential(ConvSame(3, 4, 2)),
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("D_mul", [18, 20, 29])
def test_convert_keeps_the_output_with_the_authors_columns(build: Any, D_mul: int) -> None:
    torch.manual_seed(0)
    plain = build()
    kept = copy.deepcopy(plain.state_dict())
    model = convert(plain, D_mul=D_mul, W_extra_init="random", subclasses="parametrize")
    assert all(torch.equal(plain.state_dict()[name], kept[name]) for name in kept)
    torch.testing.assert_close(model.eval()(images()), plain.eval()(images()), atol=1e-5, rtol=1e-5)
    for layer in over_parameterized(model):
        assert layer.W_extra is not None
        assert layer.W_extra.all()
    torch.testing.assert_close(fold(model)(images()), plain(images()), atol=1e-5, rtol=1e-5)


def test_a_weight_with_other_users_stays_what_it_is() -> None:
    torch.manual_seed(0)
    plain = nn.ModuleList([nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)])
    plain[1].weight = plain[0].weight
    model = convert(plain, D_mul=18, W_extra_init="random", where=["0", "2"])
    assert torch.equal(model[1].weight, plain[1].weight)
    assert not model[0].W_extra.any()
    assert model[2].W_extra.all()
    for ours, theirs in zip(model, plain, strict=True):
        torch.testing.assert_close(ours(images()), theirs(images()))


def test_convert_tells_that_a_random_D_changes_the_output(caplog: pytest.LogCaptureFixture) -> None:
    plain = network()
    with caplog.at_level(logging.WARNING, "doconv"):
        model = convert(plain, D_init="random")
    said = messages.model.random_start(4)
    assert caplog.record_tuples == [("doconv", logging.WARNING, said)]
    assert "NOT preserved" in said
    assert not torch.allclose(model.eval()(images()), plain.eval()(images()), atol=1e-2)


def test_the_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    convert(network(), D_mul=20, D_init="random", W_extra_init="random")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_random_start_is_pickled_scripted_folded_and_loads_plain_states() -> None:
    layer = DOConv2d(3, 4, 3, D_mul=20, D_init="random", W_extra_init="random")
    x = images()
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))
    plain = layer.fold()
    torch.testing.assert_close(plain(x), layer(x), atol=1e-5, rtol=1e-5)
    assert vars(plain).keys() == vars(nn.Conv2d(3, 4, 3)).keys()
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer(x), plain(x))


@pytest.mark.filterwarnings("ignore:`torch.jit.[a-z_]+` is deprecated")
@pytest.mark.usefixtures("usual_way")
def test_script() -> None:
    layer = DOConvTranspose2d(3, 4, 3, D_init="random")
    plain = DOConv2d(3, 4, 3, D_init="random")
    assert torch.equal(torch.jit.script(plain)(images()), plain(images()))
    assert torch.equal(torch.jit.trace(layer, images())(images()), layer(images()))


@pytest.mark.parametrize("name", ["D_init", "W_extra_init"])
def test_an_unknown_start_is_an_error(name: str) -> None:
    options: dict[str, Any] = {name: "ones"}
    for make in (lambda: DOConv2d(3, 4, 3, **options), lambda: convert(network(), **options)):
        with pytest.raises(ValueError, match=rf"`{name}` must be one of .*Received: {name}='ones'"):
            make()
