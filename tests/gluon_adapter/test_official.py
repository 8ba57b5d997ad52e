"""Whole checkpoints of the authors' Gluon models; single layers: tests/star/test_load_official.py.

D is random: while it is zero, their layers and ours coincide.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import DOConvSpec
from doconv_gluon import convert, get_state, load_official
from doconv_gluon.mxnet import mx
from tests.core.test_official import official_gluon
from tests.star.backends.backend_gluon import ndarray

nn = mx.gluon.nn
Checkpoint = dict[str, np.ndarray]

SPECS = {
    "0": DOConvSpec(4, 6, (3, 3)),
    "2.0": DOConvSpec(6, 4, (2, 2), groups=2),
    "2.1": DOConvSpec(4, 8, (2, 2), groups=4),
}


def network() -> Any:
    """With a nested block, and with layers that are not the authors'."""
    net, inner = nn.HybridSequential(), nn.HybridSequential()
    inner.add(nn.Conv2D(4, 2, groups=2, in_channels=6), nn.Conv2D(8, 2, groups=4, in_channels=4))
    stem, head = nn.Conv2D(6, 3, in_channels=4), nn.Conv2D(3, 1, in_channels=8)
    net.add(stem, nn.BatchNorm(in_channels=6), inner, head)
    net.initialize()
    return net


def official() -> tuple[Checkpoint, Checkpoint]:
    """A checkpoint of theirs, and the same with every kernel composed by their rule."""
    rng = np.random.default_rng(0)
    theirs: Checkpoint = {
        f"1.{name}": rng.uniform(1, 2, 6)
        for name in ("gamma", "beta", "running_mean", "running_var")
    }
    theirs |= {"3.weight": rng.normal(size=(3, 8, 1, 1)), "3.bias": rng.normal(size=3)}
    plain = dict(theirs)
    for name, spec in SPECS.items():
        O, a, _ = spec.W_shape
        weight = rng.normal(size=(O, a, *spec.kernel_size))
        D = 0.1 * rng.normal(size=(spec.K, spec.K, spec.in_channels))
        bias = rng.normal(size=O)
        theirs |= {f"{name}.weight": weight, f"{name}.D": D, f"{name}.bias": bias}
        composed = official_gluon(spec, weight, D).reshape(weight.shape)
        plain |= {f"{name}.weight": composed, f"{name}.bias": bias}
    return theirs, plain


def with_values(plain: Checkpoint, path: Path) -> Any:
    """The plain network with a checkpoint's arrays, read by Gluon alone."""
    arrays = {key: ndarray(array.astype(np.float32)) for key, array in plain.items()}
    mx.nd.save(str(path), arrays)
    net = network()
    net.load_parameters(str(path))
    return net


IMAGES = np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)


def run(net: Any) -> np.ndarray:
    return net(ndarray(IMAGES)).asnumpy()


@pytest.mark.parametrize("arrays_of", ["mxnet", "numpy"])
@pytest.mark.parametrize("make", [convert, lambda net: net], ids=["trainable", "plain"])
def test_a_model_computes_what_the_official_one_does(
    make: Any, arrays_of: str, tmp_path: Path
) -> None:
    theirs, plain = official()
    if arrays_of == "mxnet":
        theirs = {key: ndarray(array.astype(np.float32)) for key, array in theirs.items()}
    ours = make(network())
    ours.hybridize()
    run(ours)  # so that there is a cached graph
    load_official(ours, theirs)
    expected = run(with_values(plain, tmp_path / "plain.params"))
    np.testing.assert_allclose(run(ours), expected, rtol=1e-4, atol=1e-4)


def test_over_parameterized_layers_keep_D_by_its_channels() -> None:
    theirs, _ = official()
    ours = convert(network())
    load_official(ours, theirs)
    state = get_state(ours)
    assert state.keys() == SPECS.keys()
    rows = [0, 2, 4, 1, 3, 5]  # row a*g + q of theirs is channel q*(I/g) + a
    D = theirs["2.0.D"].transpose(2, 0, 1)[rows]
    np.testing.assert_array_equal(state["2.0"].D, D.astype(np.float32))


def test_a_model_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="no values yet"):
        load_official(nn.Conv2D(6, 3), official()[0])


UNFIT: dict[str, tuple[Checkpoint, list[str], str]] = {
    "a missing parameter": ({}, ["1.gamma"], r"missing=\['1.gamma'\], unexpected=\[\]"),
    "a further parameter": ({"4.x": np.ones(1)}, [], r"missing=\[\], unexpected=\['4.x'\]"),
    "another shape": ({"3.bias": np.ones(4)}, [], r"`3.bias` must have shape \(3,\)"),
    "a plain layer": ({}, ["0.D"], r"missing=\['0'\].*where="),
}


@pytest.mark.parametrize(("more", "less", "message"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_refused_and_the_model_stays(
    more: Checkpoint, less: list[str], message: str
) -> None:
    ours = convert(network())
    before = {name: p.data().asnumpy() for name, p in ours.collect_params().items()}
    theirs = {key: array for key, array in official()[0].items() if key not in less}
    with pytest.raises(ValueError, match=message):
        load_official(ours, theirs | more)
    for name, parameter in ours.collect_params().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name])


# --- By the parameters' own names, as collect_params().save and older GluonCV's save_params -----


def scoped(prefix: str) -> Any:
    """The same network, its parameters called after it and their layers' numbers."""
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        inner = nn.HybridSequential(prefix="inner_")
        with inner.name_scope():
            inner.add(nn.Conv2D(4, 2, groups=2, in_channels=6))
            inner.add(nn.Conv2D(8, 2, groups=4, in_channels=4))
        net.add(nn.Conv2D(6, 3, in_channels=4), nn.BatchNorm(in_channels=6), inner)
        net.add(nn.Conv2D(3, 1, in_channels=8))
    net.initialize()
    return net


OWN = {"0": "conv0", "1": "batchnorm0", "2.0": "inner_conv0", "2.1": "inner_conv1", "3": "conv1"}


def by_name(checkpoint: Checkpoint, prefix: str) -> Checkpoint:
    """What the authors' layers are saved as: they are Conv2D's to whoever gives names."""
    split = {key: key.rsplit(".", 1) for key in checkpoint}
    return {f"{prefix}{OWN[split[key][0]]}_{split[key][1]}": checkpoint[key] for key in checkpoint}


@pytest.mark.parametrize("make", [convert, lambda net: net], ids=["trainable", "plain"])
@pytest.mark.parametrize(
    "prefix", ["net7_", "net0_", "", "arg:net7_"],
    ids=["collect_params().save", "of another instance", "save_params", "export"],
)  # fmt: skip
def test_a_checkpoint_by_name_is_what_it_is_by_structure(prefix: str, make: Any) -> None:
    theirs, _ = official()
    net, same = make(scoped("net7_")), make(scoped("net7_"))
    load_official(net, by_name(theirs, prefix))
    load_official(same, theirs)
    assert np.abs(run(net)).max() > 0
    np.testing.assert_array_equal(run(net), run(same))


def test_the_names_are_gluons() -> None:
    net = scoped("net7_")
    with_D = {key for key in official()[0] if not key.endswith(".D")}
    assert by_name(dict.fromkeys(with_D), "net7_").keys() == net.collect_params().keys()


def test_a_shared_weight_stands_once_in_a_checkpoint_by_name() -> None:
    def shared() -> Any:
        net = nn.HybridSequential(prefix="net_")
        with net.name_scope():
            first = nn.Conv2D(4, 3, in_channels=4, padding=1)
            net.add(first, nn.Conv2D(4, 3, in_channels=4, padding=1, params=first.params))
        net.initialize()
        return convert(net)

    theirs, _ = official()
    one = {name: theirs[f"2.0.{name}"] for name in ("bias",)}
    rng = np.random.default_rng(0)
    one |= {"weight": rng.normal(size=(4, 4, 3, 3)), "D": rng.normal(size=(9, 9, 4))}
    net, same = shared(), shared()
    load_official(net, {f"net_conv0_{name}": array for name, array in one.items()})
    load_official(same, {f"{i}.{name}": array for i in (0, 1) for name, array in one.items()})
    np.testing.assert_array_equal(run(net), run(same))


def test_other_numbers_in_names_are_refused() -> None:
    theirs = by_name(official()[0], "net7_")
    renamed = {key.replace("net7_conv0", "net7_conv4"): value for key, value in theirs.items()}
    net = convert(scoped("net7_"))
    before = run(net)
    said = r"missing=\['conv0_D', .*unexpected=\['conv4_D', .* first in a new process"
    with pytest.raises(ValueError, match=said):
        load_official(net, renamed)
    np.testing.assert_array_equal(run(net), before)
