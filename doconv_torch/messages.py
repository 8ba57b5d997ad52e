"""What only PyTorch's adapter says."""

from __future__ import annotations

from typing import Any

from doconv_core.messages.layer import error, named

PARAMETRIZED = "its weight is parametrized"
SHARDED = "its arrays are sharded"


def sharded(layer: str, kind: str) -> str:
    return error(
        f"cannot fold {named(layer)}: its arrays must be whole, not sharded",
        {"type": kind},
        "Gather the full state dict into an unsharded model, then fold() that.",
    )


def wrapped(layer: str, kind: str) -> str:
    return error(
        f"cannot convert {named(layer)}: it already lists the parameters to synchronize",
        {"type": kind},
        "Convert the model first, then wrap it.",
    )


def partitioned_optimizer(kind: str) -> str:
    return error(
        "an optimizer that deals its parameters out to processes takes no further ones",
        {"optimizer": kind},
        "Convert the model first, and build the optimizer afterwards.",
    )


NO_CLOSURE = (
    "an optimizer that calls a closure within step() computes gradients in between, when the "
    "network holds W in place of its kernels. Call backward() before step(), or convert() the "
    "model to DO-Conv layers instead."
)


NOTHING_AT_OPTIMIZER = (
    "no convolution of the model can be over-parameterized at this optimizer: it must hold their "
    "weights; summary(model) gives the reason for each layer that is left."
)


def already_at_optimizer(layer: str) -> str:
    return error(
        "a weight must be over-parameterized once at an optimizer",
        {"layer": layer},
        "Another OptimizerDOConv has it already: remove() that one first.",
    )


def weight_was_written(layers: list[str]) -> str:
    return (
        f"OptimizerDOConv: the weights of {len(layers)} layer(s) were written to between steps, "
        f"the first of them {layers[0]!r}. They are kept, and D starts from zero again there."
    )


def other_state(received: Any, expected: Any) -> str:
    return error(
        f"the state must have these layers and shapes: {expected}",
        {"state": received},
        "Over-parameterize the same layers first.",
    )
