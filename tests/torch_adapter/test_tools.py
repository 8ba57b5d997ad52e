"""The tools that users put convolutions through, given a DO-Conv layer."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import fuse_conv_bn_eval, parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from doconv_torch import DOConv2d, DOConvTranspose2d, convert, fold, summary
from doconv_torch import messages as torch_messages
from tests.torch_adapter.helpers import CLASSES, images, network, train, trained_network

COLUMNS = pytest.mark.parametrize("D_mul", [None, 20], ids=["D_mul=K", "D_mul>K"])


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("ours", [ours for ours, _ in CLASSES], ids=lambda cls: cls.__name__)
def test_pickle_of_a_layer(ours: Any, protocol: int) -> None:
    layer = train(ours(4, 6, 2, D_mul=20, composition="feature"))
    twin = pickle.loads(pickle.dumps(layer, protocol))
    x = torch.randn(1, 4, *(5,) * (layer.weight.ndim - 2))
    assert repr(twin) == repr(layer)
    assert torch.equal(twin(x), layer(x))
    torch.testing.assert_close(twin.fold()(x), layer(x))


@pytest.mark.integration("pickle, torch.save", "save", "resume")
def test_torch_save_of_a_whole_model() -> None:
    model, file = trained_network(D_mul=11).eval(), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    twin = torch.load(file, weights_only=False)
    assert torch.equal(twin(images()), model(images()))
    assert fold(twin)[0].weight.requires_grad


@pytest.mark.integration("AveragedModel (EMA, SWA)", "train", "fold")
@COLUMNS
def test_averaged_model_averages_W_and_D_and_can_be_folded(D_mul: int | None) -> None:
    model = trained_network(D_mul=D_mul).eval()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    averaged.update_parameters(model)  # the first update copies
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, 0.5, seed=7)
    averaged.update_parameters(model)
    for name, parameter in model.named_parameters():
        expected = 0.75 * first[name] + 0.25 * parameter
        torch.testing.assert_close(averaged.module.get_parameter(name), expected)
    torch.testing.assert_close(fold(averaged)(images()), averaged(images()))
    assert type(fold(averaged).module[0]) is nn.Conv2d


def batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in norm.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 2)
    return norm.eval()


FUSED = {
    "conv": DOConv2d(4, 6, 3),
    "grouped": DOConv2d(4, 6, 3, groups=2, bias=False),
    "depthwise": DOConv2d(4, 8, 3, groups=4),
    "pointwise": DOConv2d(4, 6, 1),
    "transposed": DOConvTranspose2d(4, 6, 3),
}


@pytest.mark.integration("fuse_conv_bn_eval", "fold", "export")
@pytest.mark.parametrize("layer", FUSED.values(), ids=FUSED.keys())
def test_fusing_a_batch_norm_scales_the_composed_kernel(layer: Any) -> None:
    """Composition is linear in W for each output, so the scaled W gives the scaled kernel."""
    layer, x = train(copy.deepcopy(layer)).double().eval(), torch.randn(2, 4, 6, 6).double()
    norm = batch_norm(layer.out_channels).double()
    fused = fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
    torch.testing.assert_close(fused(x), norm(layer(x)))
    torch.testing.assert_close(fold(fused)(x), norm(layer(x)))


@pytest.mark.integration("fuse_conv_bn_eval", export="D_mul above K: fold first")
def test_fusing_with_more_columns_needs_a_fold_first() -> None:
    """fuse_conv_bn_eval knows of `weight` only; this is what the layer's documentation warns of."""
    layer, x = train(DOConv2d(4, 6, 3, D_mul=20)).eval(), torch.randn(2, 4, 6, 6)
    norm = batch_norm(6)
    torch.testing.assert_close(fuse_conv_bn_eval(layer.fold(), norm)(x), norm(layer(x)))
    assert not torch.allclose(fuse_conv_bn_eval(layer, norm)(x), norm(layer(x)), atol=1e-2)
    assert "fuse_conv_bn_eval" in str(DOConv2d.__doc__)


UNDONE: dict[str, tuple[Callable[[nn.Module], object], Callable[[nn.Module], object]]] = {
    "prune": (
        lambda conv: prune.l1_unstructured(conv, "weight", amount=0.5),
        lambda conv: prune.remove(conv, "weight"),
    ),
    "spectral_norm": (spectral_norm, nn.utils.remove_spectral_norm),
    "weight_norm": (weight_norm, nn.utils.remove_weight_norm),
    "parametrized-weight_norm": (
        parametrizations.weight_norm,
        lambda conv: nn.utils.parametrize.remove_parametrizations(conv, "weight"),
    ),
}


@pytest.mark.integration(
    "weight norm, spectral norm", convert="convert first", train="acts on W", fold="undo, then fold"
)
@pytest.mark.integration("pruning", convert="convert first", train="acts on W")
@pytest.mark.parametrize(("do", "undo"), UNDONE.values(), ids=UNDONE.keys())
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_norms_and_pruning_of_W_train_and_once_undone_fold(do: Any, undo: Any) -> None:
    model = trained_network()
    do(model[6])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = model[6].D.detach().clone()
    model(images()).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model[6].D, before)
    model.eval()(images())  # recomputes the weight from what was trained
    undo(model[6])
    assert type(model[6]) is DOConv2d
    torch.testing.assert_close(fold(model)(images()), model(images()))


@pytest.mark.integration("gradient checkpointing", "convert", "train")
def test_gradient_checkpointing_is_exact() -> None:
    model, x = trained_network().eval(), images().requires_grad_()
    model(x).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).sum().backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))


def test_moving_and_casting_take_D_along() -> None:
    model = nn.Module.to(trained_network(D_mul=11), torch.float64)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert {p.device.type for p in model.to("meta").parameters()} == {"meta"}
    assert [type(m) for m in fold(model)] == [type(m) for m in network()]


def test_a_second_backward_pass_adds_up() -> None:
    """Gradient accumulation over two halves is the gradient of the whole batch."""
    model, x = convert(network()).double().eval(), images(4, dtype=torch.float64)
    model(x).sum().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for half in x.chunk(2):
        model(half).sum().backward()
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.integration("pruning", fold="fold first, then prune")
def test_pruning_belongs_after_fold() -> None:
    """W is sparse, but the kernel is W + D W."""
    model = trained_network()
    prune.l1_unstructured(model[6], "weight", amount=0.7)
    prune.remove(model[6], "weight")
    folded = fold(model)

    def sparsity(weight: torch.Tensor) -> float:
        return (weight == 0).float().mean().item()

    assert sparsity(model[6].weight) == pytest.approx(0.7, abs=0.01)
    assert sparsity(folded[6].weight) < 0.1
    prune.l1_unstructured(folded[6], "weight", amount=0.7)
    prune.remove(folded[6], "weight")
    assert sparsity(folded[6].weight) == pytest.approx(0.7, abs=0.01)


def test_spectral_norm_bounds_W_and_leaves_what_had_it_before() -> None:
    conv = nn.Conv2d(3, 4, 3)
    normed = parametrizations.spectral_norm(copy.deepcopy(conv), n_power_iterations=30)
    (row,) = summary(nn.Sequential(normed))
    assert row.reason == torch_messages.PARAMETRIZED
    layer = train(DOConv2d.from_conv(conv), size=0.3)
    parametrizations.spectral_norm(layer, n_power_iterations=30)
    with pytest.raises(ValueError, match=torch_messages.PARAMETRIZED):
        fold(layer)
    before = layer.eval()(images())
    folded = fold(nn.utils.parametrize.remove_parametrizations(layer, "weight"))
    torch.testing.assert_close(folded(images()), before)

    def norm(weight: torch.Tensor) -> float:
        return torch.linalg.matrix_norm(weight.flatten(1), 2).item()

    assert norm(layer.weight) == pytest.approx(1, abs=1e-3)
    assert abs(norm(folded.weight) - 1) > 0.05


def test_ensembles_and_vectors_of_parameters() -> None:
    models = [train(convert(network(seed)), seed=seed).eval() for seed in range(3)]
    parameters, buffers = stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    x = images()
    outputs = vmap(lambda *state: functional_call(base, state, (x,)))(parameters, buffers)
    for output, model in zip(outputs, models, strict=True):
        torch.testing.assert_close(output, model(x))
    vector = nn.utils.parameters_to_vector(models[0].parameters())
    nn.utils.vector_to_parameters(vector, models[1].parameters())
    models[1].load_state_dict({**models[1].state_dict(), **dict(models[0].named_buffers())})
    assert torch.equal(fold(models[1])(x), fold(models[0])(x))
