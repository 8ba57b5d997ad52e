"""A DO-Conv layer is used exactly as its host layer is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from doconv_torch import DOConv2d, DOConvTranspose2d, convert, fold
from tests.torch_adapter.helpers import CLASSES, train

# torch says so of its own layer too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

every_class = pytest.mark.parametrize(
    ("ours", "host"), CLASSES, ids=[o.__name__ for o, _ in CLASSES]
)

CONV_ARGUMENTS = {
    "stride": {"stride": (2, 3)},
    "padding": {"padding": (2, 1)},
    "same": {"padding": "same"},
    "same-even": {"kernel_size": (2, 4), "padding": "same"},
    "same-dilated": {"kernel_size": (3, 2), "padding": "same", "dilation": (2, 3)},
    "valid": {"padding": "valid"},
    "reflect": {"padding": (1, 2), "padding_mode": "reflect"},
    "reflect-same-even": {"kernel_size": 4, "padding": "same", "padding_mode": "reflect"},
    "replicate": {"padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular-same-even": {"kernel_size": (1, 2), "padding": "same", "padding_mode": "circular"},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2},
    "rectangular": {"kernel_size": (1, 4)},
    "no-bias": {"bias": False},
    "float64": {"dtype": torch.float64},
    "free-columns": {"D_mul": 14},
}
TRANSPOSED_ARGUMENTS = {
    "stride": {"stride": (2, 3)},
    "output-padding": {"stride": (2, 3), "output_padding": (1, 2)},
    "padding": {"padding": (2, 1)},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2},
    "rectangular": {"kernel_size": (1, 4)},
    "no-bias": {"bias": False},
    "free-columns": {"D_mul": 14},
}
ARGUMENTS = [
    pytest.param(cls, arguments, id=f"{cls.__name__}-{name}")
    for cls, table in [(DOConv2d, CONV_ARGUMENTS), (DOConvTranspose2d, TRANSPOSED_ARGUMENTS)]
    for name, arguments in table.items()
]


def build(cls: type[Any], arguments: dict[str, Any]) -> Any:
    given = {"kernel_size": 3, **arguments}
    return cls(4, 6, **given)


def host_of(arguments: dict[str, Any], cls: type[Any]) -> nn.Module:
    return build(cls.host, {name: v for name, v in arguments.items() if name != "D_mul"})


def settings(layer: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(layer).items() if name != "_parameters"}


@every_class
def test_signature_is_the_host_s_and_our_keywords(ours: type, host: type) -> None:
    given = list(inspect.signature(ours).parameters.values())
    assert given[:-4] == list(inspect.signature(host).parameters.values())
    assert [(p.name, p.kind, p.default) for p in given[-4:]] == [
        ("D_mul", inspect.Parameter.KEYWORD_ONLY, None),
        ("composition", inspect.Parameter.KEYWORD_ONLY, "kernel"),
        ("D_init", inspect.Parameter.KEYWORD_ONLY, "identity"),
        ("W_extra_init", inspect.Parameter.KEYWORD_ONLY, "zeros"),
    ]


def test_signature_of_a_user_s_subclass_is_its_own() -> None:
    class Block(DOConv2d):
        def __init__(self, width: int) -> None:
            super().__init__(width, width, 3)

    assert list(inspect.signature(Block).parameters) == ["width"]
    assert isinstance(nn.utils.skip_init(DOConv2d, 2, 2, 3), DOConv2d)


@every_class
def test_positional_arguments_mean_what_they_mean_to_the_host(ours: type, host: type) -> None:
    assert settings(ours(4, 6, 3, 2, 1)).items() >= settings(host(4, 6, 3, 2, 1)).items()


@every_class
@pytest.mark.parametrize("batch", [(), (0,), (2,)], ids=["unbatched", "no-images", "batch"])
def test_newborn_layer_is_the_host_layer(ours: type, host: type, batch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = host(4, 6, 3, padding=1)
    after_plain = torch.get_rng_state()
    torch.manual_seed(0)
    layer = ours(4, 6, 3, padding=1)
    assert torch.equal(torch.get_rng_state(), after_plain)
    assert torch.equal(layer.weight, plain.weight)
    x = torch.randn(*batch, 4, *(5,) * (layer.weight.ndim - 2))
    assert torch.equal(layer(x), plain(x))
    assert not layer.D.any()


@every_class
def test_unbatched_input_by_feature_composition(ours: type, host: type) -> None:
    layer = train(ours(4, 6, 3, composition="feature", dtype=torch.float64))
    x = torch.randn(4, *(5,) * (layer.weight.ndim - 2), dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer(x[None])[0])
    torch.testing.assert_close(layer(x), layer.fold()(x))


@pytest.mark.parametrize(("cls", "arguments"), ARGUMENTS)
def test_layer_is_the_host_layer_with_the_composed_kernel(cls: type, arguments: dict) -> None:
    layer, host = train(build(cls, arguments)), host_of(arguments, cls)
    parameters = {"weight": layer.composed_kernel().detach()}
    if layer.bias is not None:
        parameters["bias"] = layer.bias.detach()
    host.load_state_dict(parameters)
    x = torch.randn(2, 4, 9, 10, dtype=layer.weight.dtype)
    assert torch.equal(layer(x), host(x))


@pytest.mark.parametrize(("cls", "arguments"), ARGUMENTS)
def test_feature_composition_is_kernel_composition(cls: type, arguments: dict) -> None:
    layer = train(build(cls, {**arguments, "dtype": torch.float64}))
    x = torch.randn(2, 4, 9, 10, dtype=torch.float64)
    by_kernel = layer(x)
    layer.composition = "feature"
    torch.testing.assert_close(layer(x), by_kernel, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("cls", "arguments"), ARGUMENTS)
def test_every_argument_survives_convert_and_fold(cls: type, arguments: dict) -> None:
    plain = host_of(arguments, cls)
    folded = fold(convert(plain))
    assert type(folded) is type(plain)
    assert settings(folded) == settings(plain)
    assert repr(folded) == repr(plain)
    for name, parameter in plain.named_parameters():
        assert torch.equal(folded.get_parameter(name), parameter)


@pytest.mark.parametrize("composition", ["kernel", "feature"])
def test_output_size_of_a_transposed_layer(composition: str) -> None:
    layer = train(DOConvTranspose2d(4, 6, 3, stride=2, padding=1, composition=composition))
    x, plain = torch.randn(1, 4, 5, 6), layer.fold()
    for size in [(9, 11), (10, 12), (1, 6, 10, 11)]:
        torch.testing.assert_close(layer(x, output_size=size), plain(x, output_size=size))
        assert layer(x, list(size)).shape[2:] == size[-2:]
    with pytest.raises(ValueError, match="requested an output size"):
        layer(x, output_size=(20, 20))


@every_class
def test_meta_device_then_to_empty(ours: type, host: type) -> None:
    layer = ours(4, 6, 3, device="meta", D_mul=3 ** (ours.__name__.count("2") + 1) + 30)
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert layer(torch.empty(1, 4, *(5,) * (layer.weight.ndim - 2), device="meta")).is_meta
    assert type(layer.fold()) is host
    layer.to_empty(device="cpu")
    torch.manual_seed(3)
    layer.reset_parameters()
    torch.manual_seed(3)
    assert torch.equal(layer.composed_kernel(), host(4, 6, 3).weight)


def test_default_device_and_dtype_are_followed() -> None:
    with torch.device("meta"):
        assert DOConv2d(2, 2, 3, D_mul=10).D.is_meta
        assert not convert(nn.Conv2d(2, 2, 3, device="cpu"), D_mul=10).W_extra.is_meta
    torch.set_default_dtype(torch.float64)
    try:
        assert DOConv2d(2, 2, 3).D.dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("composition", ["kernel", "feature"])
def test_dtype_is_that_of_every_array_and_of_the_output(
    dtype: torch.dtype, composition: str
) -> None:
    layer = DOConv2d(4, 6, 3, dtype=dtype, D_mul=11, composition=composition)
    assert {p.dtype for p in layer.parameters()} == {dtype}
    assert layer(torch.ones(1, 4, 5, 5, dtype=dtype)).dtype is dtype
    assert {p.dtype for p in layer.double().parameters()} == {torch.float64}


REPR = {
    "kernel": (
        DOConv2d(2, 4, 3, groups=2),
        "DOConv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), groups=2, D_mul=9)",
    ),
    "feature": (
        DOConv2d(2, 4, (1, 3), D_mul=5, composition="feature"),
        'DOConv2d(2, 4, kernel_size=(1, 3), stride=(1, 1), D_mul=5, composition="feature")',
    ),
    "transposed": (
        DOConvTranspose2d(2, 4, 2, 2, bias=False),
        "DOConvTranspose2d(2, 4, kernel_size=(2, 2), stride=(2, 2), bias=False, D_mul=4)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "text"), REPR.values(), ids=REPR.keys())
def test_repr(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text


INITIALIZERS = {
    "kaiming": lambda m: nn.init.kaiming_normal_(m.weight),
    "data": lambda m: m.weight.data.normal_(),
    "dirac": lambda m: nn.init.dirac_(m.weight),
    "reset": lambda m: m.reset_parameters(),
}


@pytest.mark.parametrize("initialize", INITIALIZERS.values(), ids=INITIALIZERS.keys())
def test_initialization_loops_do_to_a_layer_what_they_do_to_the_host(initialize: Any) -> None:
    plain, layer = nn.Conv2d(4, 4, 3), DOConv2d(4, 4, 3, D_mul=20)
    for module in nn.Sequential(plain, layer).modules():
        if isinstance(module, nn.Conv2d):  # as the loops of users have it
            torch.manual_seed(5)
            initialize(module)
    assert torch.equal(layer.composed_kernel(), plain.weight)


def test_reset_parameters_makes_a_trained_layer_newborn() -> None:
    layer = train(DOConv2d(4, 4, 3, D_mul=20))
    layer.reset_parameters()
    assert not layer.D.any()
    assert not layer.W_extra[..., :9].any()  # these columns have an identity
    assert layer.W_extra[..., 9:].all()  # these have none, and D is zero: they must not be
    assert 1 / 7 < layer.W_extra.abs().max() <= 1 / 6  # as nn.Conv2d draws: 1 / sqrt(fan_in)


def test_the_signature_is_the_class_s_alone() -> None:
    """An instance takes inputs, and a subclass may have a constructor of its own."""

    class Mine(DOConv2d):
        def __init__(self, width: int) -> None:
            super().__init__(3, width, 3)

    assert list(inspect.signature(Mine).parameters) == ["width"]
    host = nn.Conv2d(3, 4, 3)
    assert inspect.signature(DOConv2d(3, 4, 3)) == inspect.signature(host)
