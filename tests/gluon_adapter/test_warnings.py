"""What convert and fold say where little was done, or much, or something else than expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doconv_gluon import CondConv2D, convert, fold, summary
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.helpers import (
    ConvSame,
    images,
    layers_of,
    network,
    nn,
    sgd,
    trained_network,
)


def large(kernel_size: int = 21) -> Any:
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(64, 3, padding=1, in_channels=8),
        nn.Conv2D(64, kernel_size, groups=64, in_channels=64),
    )
    return net


def test_a_D_that_outweighs_the_model_is_warned_about_with_the_way_out() -> None:
    with pytest.warns(UserWarning, match=r"D has 12,447,.* layer '1' has.*max_kernel_elements=25"):
        convert(large())
    net = convert(large(), max_kernel_elements=25)
    assert list(layers_of(net)) == ["0"]


def test_layers_may_be_picked_by_name() -> None:
    assert list(layers_of(convert(network(), where=["0", "5"]))) == ["0", "5"]
    outer = nn.HybridSequential()
    outer.add(network(), network())
    assert list(layers_of(convert(outer, where="1"))) == ["1.0", "1.2", "1.4", "1.5"]
    with pytest.raises(ValueError, match=r"every name in `where`.*name='layer4'.*has '0', '2'"):
        convert(network(), where=["layer4"])
    with pytest.raises(TypeError, match="`where` must be a function"):
        convert(network(), where=3)


def test_K_may_be_said_for_the_columns() -> None:
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=3), CondConv2D(4, 2, in_channels=4))
    convert(net, inplace=True, D_mul="K")
    assert [layer.D_mul for layer in net] == [9, 4]


def test_most_left_for_one_reason_is_warned_about() -> None:
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=3), *(ConvSame(4, 3, in_channels=4) for _ in range(3)))
    with pytest.warns(UserWarning, match=r"over-parameterized 1 .* left 3, .*a subclass may"):
        convert(net)


@pytest.mark.filterwarnings("ignore:Cannot decide type for the following arguments")  # MXNet's
def test_folding_a_network_that_was_exported_unfolded_is_warned_about(tmp_path: Path) -> None:
    net, path = trained_network(), str(tmp_path / "net")
    net.hybridize()
    net(images())
    net.export(path)
    imported = mx.gluon.SymbolBlock.imports(f"{path}-symbol.json", ["data"], f"{path}-0000.params")
    with pytest.warns(UserWarning, match=r"a SymbolBlock holds 4 D's, .*'conv0_D'.*before it"):
        fold(imported)


def test_folding_what_is_plain_says_nothing() -> None:
    fold(network())


def test_a_trainer_of_the_network_that_was_copied_is_noticed_by_gluon_itself() -> None:
    """It would train nothing; Gluon sees that its parameters got no gradient."""
    net, x = network(), images()
    trainer = sgd(net)
    new = convert(net)
    with mx.autograd.record():
        loss = (new(x) ** 2).sum()
    loss.backward()
    with pytest.raises(UserWarning, match="has not been updated by backward since last `step`"):
        trainer.step(1)


def test_convolutions_of_gluon_contrib_have_a_row() -> None:
    net = nn.HybridSequential()
    net.add(
        mx.gluon.contrib.cnn.DeformableConvolution(4, (3, 3), in_channels=3),
        mx.gluon.contrib.cnn.ModulatedDeformableConvolution(4, (3, 2), in_channels=4),
        nn.Conv2D(4, 3, in_channels=4),
    )
    rows = [(row.name, row.kind, row.K) for row in summary(net) if row.reason != "not converted"]
    assert rows[:2] == [
        ("0", "DeformableConvolution", 9),
        ("1", "ModulatedDeformableConvolution", 6),
    ]
    assert all("samples its input" in row.reason for row in summary(net)[:2])
