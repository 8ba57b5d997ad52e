"""What CondConv layers of Gluon refuse, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from doconv_core import CondConvSpec
from doconv_gluon import CondConv2D, Routing
from doconv_gluon.mxnet import mx
from tests.gluon_adapter.condconv import images, trained


def routed(**given: Any) -> Any:
    return trained(CondConv2D(6, 3, in_channels=4, **given))


ERRORS: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "no-alpha": (
        ValueError,
        "`alpha` must be given to a layer with routing=False",
        lambda: routed(routing=False)(images(4)),
    ),
    "two-routings": (
        ValueError,
        "`alpha` must not be given to a layer that has its own routing",
        lambda: routed()(images(4), mx.nd.zeros((3, 4))),
    ),
    "alpha-of-one-example": (
        ValueError,
        "`alpha` must have shape (3, 4). Received: alpha.shape=(1, 4)",
        lambda: routed(routing=False)(images(4), mx.nd.zeros((1, 4))),
    ),
    "experts": (
        ValueError,
        "`num_experts` must be a positive integer",
        lambda: CondConv2D(6, 3, num_experts=0),
    ),
    "routed-experts": (
        ValueError, "`num_experts` must be a positive integer", lambda: Routing(0)
    ),
    "routed-channels": (
        ValueError, "`in_channels` must be a positive integer", lambda: Routing(4, -1)
    ),
    "evaluation": (
        ValueError,
        "`evaluation` must be one of",
        lambda: CondConv2D(6, 3, evaluation="feature"),
    ),
    "D_mul": (
        ValueError,
        "`D_mul` must be at least the number of kernel elements",
        lambda: CondConv2D(6, 3, D_mul=8),
    ),
    "D_mul-text": (
        ValueError, '`D_mul` must be None, "K" or an integer', lambda: CondConv2D(6, 3, D_mul="S")
    ),
    "groups": (ValueError, "`groups` must divide", lambda: routed(groups=3)),
    "no-groups": (
        ValueError,
        "`groups` must be a positive integer",  # the host ends the process
        lambda: CondConv2D(6, 3, groups=0),
    ),
    "unknown": (TypeError, "unexpected keyword", lambda: CondConv2D(6, 3, composition="kernel")),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "call"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_not_allowed(
    kind: type[Exception], message: str, call: Callable[[], object]
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_repr_and_spec() -> None:
    layer = CondConv2D(6, 3, D_mul=20, routing=False, evaluation="kernels", in_channels=4)
    assert repr(layer) == (
        "CondConv2D(4 -> 6, kernel_size=(3, 3), stride=(1, 1), num_experts=4, D_mul=20, "
        "evaluation='kernels', routing=False)"
    )
    assert layer.spec == CondConvSpec(4, 6, (3, 3), num_experts=4, D_mul=20)
    assert repr(CondConv2D(6, 1, D_mul="K", use_bias=False)) == (
        "CondConv2D(None -> 6, kernel_size=(1, 1), stride=(1, 1), bias=False, num_experts=4)"
    )
    assert repr(Routing(4)) == "Routing(None -> 4)"
    with pytest.raises(ValueError, match="initialize the model and run one batch first"):
        _ = CondConv2D(6, 3).spec


@pytest.mark.parametrize("evaluation", ["kernels", "outputs"])
@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
@pytest.mark.parametrize("groups", [1, 2])
def test_inputs_that_do_not_fit_are_mxnet_s_own_errors(
    groups: int, hybridized: bool, evaluation: str
) -> None:
    layer = routed(routing=False, groups=groups, evaluation=evaluation)
    layer.hybridize(hybridized)
    alpha = mx.nd.ones((3, 4))
    for channels in (2, 5, 6):
        with pytest.raises(mx.base.MXNetError):
            layer(images(channels), alpha).wait_to_read()
    if hybridized:  # a graph knows no shapes beforehand
        with pytest.raises(mx.base.MXNetError):
            layer(images(4), alpha[:1]).wait_to_read()
