"""CondConv in the core: sizes, formulas and their gradients, cost, state and files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doconv_core import CondConvSpec, Cost, DOConvSpec, LayerState, check_state, condconv_cost
from doconv_core.checkpoint import load, save
from doconv_core.costs.condconv import cheaper_evaluation
from doconv_core.kernel.composition import compose_kernel, fold_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_core.model.rows import layer_row
from doconv_core.neighbours.condconv import (
    mix,
    mix_gradients,
    routing_gradients,
    routing_weights,
    validate_evaluation,
    validate_routing,
)
from tests.star.cases.condconv import CASES, CondCase, arrays, ids
from tests.star.oracles.conv import Oracle

every_case = pytest.mark.parametrize("case", CASES, ids=ids)


# --- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("D_mul", "kernel_size", "expected"),
    [
        (None, (3, 3), None),
        ("K", (3, 3), 9),
        (9, (3, 3), 9),
        (np.int64(14), (3, 3), 14),
        ("K", (1, 1), None),
        (5, (1, 1), None),
    ],
)
def test_D_mul_of_a_spec(D_mul: Any, kernel_size: tuple[int, ...], expected: int | None) -> None:
    spec = CondConvSpec(4, 6, kernel_size, num_experts=3, D_mul=D_mul)
    assert spec.D_mul == expected
    assert spec.has_D is (expected is not None)
    assert spec.kind == ("CondConv" if expected is None else "DO-CondConv")
    assert spec.plain == CondConvSpec(4, 6, kernel_size, num_experts=3)


WRONG: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "experts": (
        ValueError,
        "`num_experts` must be a positive integer. Received: num_experts=0",
        lambda: CondConvSpec(4, 6, (3, 3), num_experts=0),
    ),
    "experts-type": (
        TypeError,
        "`num_experts` must be a positive integer",
        lambda: CondConvSpec(4, 6, (3, 3), num_experts=2.5),  # type: ignore[arg-type]
    ),
    "D_mul-text": (
        ValueError,
        "`D_mul` must be None, \"K\" or an integer. Received: D_mul='S'",
        lambda: CondConvSpec(4, 6, (3, 3), D_mul="S"),
    ),
    "D_mul-small": (
        ValueError,
        "`D_mul` must be at least the number of kernel elements",
        lambda: CondConvSpec(4, 6, (3, 3), D_mul=8),
    ),
    "groups": (
        ValueError,
        "`groups` must divide `in_channels`",
        lambda: CondConvSpec(4, 6, (3, 3), groups=3),
    ),
    "evaluation": (
        ValueError,
        "`evaluation` must be one of 'auto', 'kernels', 'outputs'. Received: evaluation='both'",
        lambda: validate_evaluation("both"),
    ),
    "output-size": (
        ValueError,
        "sizes must be positive",
        lambda: cheaper_evaluation(CondConvSpec(4, 6, (3, 3)), (0, 3)),
    ),
    "W": (
        ValueError,
        "`W` must have shape (4, 6, 4, 9)",
        lambda: compose_kernel(CondConvSpec(4, 6, (3, 3)), np.zeros((6, 4, 9))),
    ),
    "routing": (
        ValueError,
        "`routing` must have shape (4, 2)",
        lambda: LayerState(
            CondConvSpec(4, 1, (1,), num_experts=2), np.zeros((2, 1, 4, 1)), routing=np.zeros(4)
        ),
    ),
    "bias-without-routing": (
        ValueError,
        "`routing_bias` must have shape ()",
        lambda: LayerState(
            CondConvSpec(4, 1, (1,), num_experts=2),
            np.zeros((2, 1, 4, 1)),
            routing_bias=np.zeros(2),
        ),
    ),
    "bias-of-a-routing-from-outside": (
        ValueError,
        "`routing_bias` must be False for a layer with routing=False",
        lambda: validate_routing(False, True),
    ),
    "routing-of-do-conv": (
        ValueError,
        "`routing` must have shape ()",
        lambda: LayerState(DOConvSpec(4, 1, (1,)), np.zeros((1, 4, 1)), routing=np.zeros((4, 2))),
    ),
}


@pytest.mark.parametrize(("kind", "message", "call"), WRONG.values(), ids=WRONG.keys())
def test_what_is_not_allowed(
    kind: type[Exception], message: str, call: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


# --- formulas ----------------------------------------------------------------------------


@every_case
def test_mixed_kernels_convolve_as_the_oracle(case: CondCase) -> None:
    """The oracle mixes outputs; the formula mixes kernels and biases, example by example."""
    data, spec = arrays(case), case.spec
    kernels = mix(compose_kernel(spec, data.W, data.D), data.alpha)
    biases = [None] * case.batch if data.bias is None else mix(data.bias, data.alpha)
    expected = case.oracle(data.x, data.W, data.D, data.bias, data.alpha)
    conv = case.conv
    plain = Oracle(
        DOConvSpec(spec.in_channels, spec.out_channels, spec.kernel_size, spec.groups),
        stride=conv.stride,
        padding=[(p, p) for p in conv.padding],
        dilation=conv.dilation,
        padding_mode=conv.padding_mode,
    )
    for n, bias in enumerate(biases):
        y = plain(data.x[n : n + 1], kernels[n], None, bias)
        np.testing.assert_array_equal(y, expected[n : n + 1])


def by_differences(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """The gradient of a sum, by central differences."""
    gradient, h = np.zeros_like(at), 1e-6
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = h
        gradient[index] = (function(at + step) - function(at - step)).sum() / (2 * h)
    return gradient


def test_gradients_of_the_formulas_are_those_by_differences() -> None:
    rng = np.random.default_rng(0)
    x, R, r = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 5)), rng.normal(size=5)
    grad_alpha = rng.normal(size=(2, 5))
    grad_x, grad_R, grad_r = routing_gradients(x, R, grad_alpha, r)
    close = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(
        grad_x, by_differences(lambda x: routing_weights(x, R, r) * grad_alpha, x), **close
    )
    np.testing.assert_allclose(
        grad_R, by_differences(lambda R: routing_weights(x, R, r) * grad_alpha, R), **close
    )
    np.testing.assert_allclose(
        grad_r, by_differences(lambda r: routing_weights(x, R, r) * grad_alpha, r), **close
    )
    experts, alpha, grad = (rng.normal(size=s) for s in ((5, 2, 3), (4, 5), (4, 2, 3)))
    grad_experts, grad_mix_alpha = mix_gradients(experts, alpha, grad)
    np.testing.assert_allclose(
        grad_experts, by_differences(lambda e: mix(e, alpha) * grad, experts), **close
    )
    np.testing.assert_allclose(
        grad_mix_alpha, by_differences(lambda a: mix(experts, a) * grad, alpha), **close
    )


def test_the_oracle_s_gradients_are_those_by_differences() -> None:
    case = next(case for case in CASES if case.id == "free-columns-grouped")
    data = arrays(case, "gaussian")
    x, W, D, bias = (array.astype(np.float64) for array in data[:4])
    R = data.R.astype(np.float64)

    def output(**changed: np.ndarray) -> np.ndarray:
        given = {"x": x, "W": W, "D": D, "bias": bias, "R": R, **changed}
        alpha = routing_weights(given["x"], given.pop("R"))
        return case.oracle(**given, alpha=alpha) * data.grad_y

    alpha = routing_weights(x, R)
    gradients = case.oracle.gradients(x, W, D, bias, alpha, data.grad_y, R)
    for name, at in {"x": x, "bias": bias, "R": R}.items():
        expected = by_differences(lambda value, name=name: output(**{name: value}), at)
        np.testing.assert_allclose(getattr(gradients, name), expected, rtol=1e-5, atol=1e-6)
    alone = by_differences(lambda a: case.oracle(x, W, D, bias, a) * data.grad_y, alpha)
    np.testing.assert_allclose(gradients.alpha, alone, rtol=1e-5, atol=1e-6)


@every_case
def test_experts_fold_one_by_one_and_layouts_are_those_of_one_expert(case: CondCase) -> None:
    spec, data = case.spec, arrays(case, "gaussian")
    kernels = fold_kernel(spec, data.W, data.D)
    np.testing.assert_allclose(kernels, compose_kernel(spec, data.W, data.D), rtol=1e-4, atol=1e-4)
    for layout in ("OIk", "kIO"):
        array = from_canonical(spec, kernels, layout)
        assert array.ndim == 3 + len(spec.kernel_size)
        np.testing.assert_array_equal(to_canonical(spec, array, layout), kernels)
        flat = from_canonical(spec, data.W, layout, spatial=False)
        np.testing.assert_array_equal(to_canonical(spec, flat, layout), data.W)


# --- cost --------------------------------------------------------------------------------


def test_cost_counts_what_the_paper_says() -> None:
    """Per image a convolution, the mixing of E kernels and biases, and the routing."""
    spec = CondConvSpec(4, 6, (3, 3), num_experts=5, D_mul="K")
    cost = condconv_cost(spec, (7, 8), batch_size=3, bias=True)
    kernel = 6 * 4 * 9
    assert cost.convolution == Cost(kernel + 6, 3 * 56 * kernel)
    per_image = 56 * kernel + 5 * (kernel + 6) + 4 * 5
    assert cost.condconv == cost.folded == Cost(5 * (kernel + 6) + 20, 3 * per_image)
    composition = 5 * 6 * 4 * 9 * 9
    assert cost.trained == Cost(
        cost.condconv.parameters + 5 * 4 * 9 * 9, cost.condconv.macs + composition
    )
    assert condconv_cost(spec.plain, (7, 8)).trained == condconv_cost(spec.plain, (7, 8)).condconv
    routed = condconv_cost(spec, (7, 8), routing=False)
    assert routed.condconv + Cost(20, 20) == condconv_cost(spec, (7, 8)).condconv
    biased = condconv_cost(spec, (7, 8), routing_bias=True).condconv
    assert biased == condconv_cost(spec, (7, 8)).condconv + Cost(5, 0)  # additions do not count
    calls = [(3, (9, 10), (7, 8))]
    row = layer_row("", "", spec, reason="", bias=True, routing=True, calls=calls)
    assert row.macs == (cost.condconv.macs, cost.trained.macs, cost.condconv.macs)


def test_kernels_are_mixed_unless_there_are_few_positions() -> None:
    for experts in (2, 4, 8):
        spec = CondConvSpec(64, 64, (3, 3), num_experts=experts)
        choices = [cheaper_evaluation(spec, (size, size)) for size in range(1, 20)]
        assert choices[0] == "outputs"
        assert choices[-1] == "kernels"
        assert sorted(choices, reverse=True) == choices  # one change, at some size
    one = CondConvSpec(64, 64, (3, 3), num_experts=1)
    assert cheaper_evaluation(one, (1, 1)) == "outputs"  # one expert's kernel serves every image


# --- state and files ---------------------------------------------------------------------


def state(case: CondCase, *, routing: bool) -> LayerState:
    data = arrays(case)
    own = (data.R, data.routing_bias) if routing else ()
    return LayerState(case.spec, data.W, data.D, data.bias, *own)


@pytest.mark.parametrize("routing", [True, False], ids=["routing", "routed"])
@every_case
def test_a_file_gives_back_what_was_written(case: CondCase, routing: bool, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="neutral files need safetensors")
    spec = DOConvSpec(2, 2, (3,))
    do_conv = LayerState(spec, np.ones(spec.W_shape), np.zeros(spec.D_shape))
    written = {"experts": state(case, routing=routing), "conv": do_conv}
    save(tmp_path / "file", written)
    read = load(tmp_path / "file")
    assert [layer.spec for layer in read.values()] == [case.spec, do_conv.spec]
    for name in ("W", "D", "bias", "routing", "routing_bias"):
        np.testing.assert_array_equal(
            getattr(read["experts"], name), getattr(written["experts"], name), err_msg=name
        )


def test_a_file_without_condconv_records_nothing_of_it(tmp_path: Path) -> None:
    """So that releases from before CondConv read it."""
    pytest.importorskip("safetensors", reason="neutral files need safetensors")
    spec = DOConvSpec(2, 2, (3,))
    save(tmp_path / "file", {"a": LayerState(spec, np.ones(spec.W_shape), np.ones(spec.D_shape))})
    data = (tmp_path / "file").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header.keys() == {"__metadata__", "a.W", "a.D"}
    (layer,) = json.loads(header["__metadata__"]["doconv"])["layers"]
    assert layer.keys() == {
        "name", "in_channels", "out_channels", "kernel_size", "groups", "D_mul", "transposed"
    }  # fmt: skip


def test_a_state_must_have_routing_where_the_layer_has_it() -> None:
    with_routing, without = (state(CASES[0], routing=routing) for routing in (True, False))
    check_state({"a": with_routing}, {"a": with_routing})
    with pytest.raises(ValueError, match="state_routing=False, layer_routing=True"):
        check_state({"a": with_routing}, {"a": without})
    biased = replace(with_routing, routing_bias=np.zeros(CASES[0].spec.num_experts))
    with pytest.raises(ValueError, match="state_routing_bias=True, layer_routing_bias=False"):
        check_state({"a": with_routing}, {"a": biased})


def test_the_command_refuses_to_fold_what_no_plain_layer_computes(tmp_path: Path) -> None:
    pytest.importorskip("typer", reason="the command needs typer")
    from tests.cli.command import fail

    save(tmp_path / "file.safetensors", {"experts": state(CASES[3], routing=True)})
    error = fail(1, "fold", tmp_path / "file.safetensors", tmp_path / "out.safetensors")
    assert "cannot fold layer 'experts' in a file" in error
