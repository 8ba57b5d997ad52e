"""What only PyTorch's adapter says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doconv_core.messages.layer import error, named

PARAMETRIZED = "its weight is parametrized"
OTHER_CLASS = "it is no convolution of torch.nn"
OWN_FORWARD = (
    "a subclass may compute something else than its base class "
    '(convert(..., subclasses="parametrize") takes it if its forward reads self.weight)'
)
ADAPTED = "an adapter (LoRA) beside it is merged into `weight`; merge before convert()"
SHARDED = "its arrays are sharded"
OTHER_SIZES = (
    "its weight has other sizes than its in_channels, out_channels and kernel_size say; "
    "set those to what the weight has"
)


def sharded(layer: str, kind: str) -> str:
    return error(
        f"cannot fold {named(layer)}: its arrays must be whole, not sharded",
        {"type": kind},
        "Gather the full state dict into an unsharded model, then fold() that.",
    )


def copy_without_D(layer: str, kind: str) -> str:
    return error(
        f"cannot fold a copy: copy.deepcopy must copy the D of {named(layer)}",
        {"type": kind},
        "A __deepcopy__ on the way leaves it out; fold(model, inplace=True) needs none.",
    )


def wrapped(layer: str, kind: str) -> str:
    return error(
        f"cannot convert {named(layer)}: it already lists the parameters to synchronize",
        {"type": kind},
        "Convert the model first, then wrap it.",
    )


def wrapped_elsewhere(kind: str) -> str:
    return error(
        "cannot convert in place: a wrapper for distributed training holds these parameters, and "
        "would not synchronize their D",
        {"type": kind},
        "Convert the model first, then wrap it.",
    )


def merged_elsewhere(count: int, layer: str, method: str) -> str:
    return (
        f"{count} converted layer(s) lie in modules that merge their weights themselves, the first "
        f"of these {named(layer)} by {method}(). That would read `weight` and lose D in silence: "
        "deploy by model = fold(model) first, then merge."
    )


def copy_not_trained(count: int) -> str:
    return (
        "This optimizer holds the parameters of the model that convert() copied, and updates none "
        f"of the {count} converted layer(s) of the copy, which has the gradients. Build it from "
        "the converted model's parameters, or convert(model, inplace=True, optimizer=optimizer)."
    )


def adapter_on_layer(kind: str) -> str:
    return error(
        "an adapter (LoRA) on a layer whose `weight` is not its kernel would merge wrong",
        {"layer": kind},
        "fold() the model first.",
    )


HISTORY_LOST = (
    "LBFGS remembers all its parameters as one vector, and there are others now: its history "
    "begins anew. Convert before its first step to keep it."
)


def is_at_optimizer(layer: str) -> str:
    return error(
        f"cannot convert {named(layer)} in place: it is over-parameterized at an optimizer",
        {"layer": layer},
        "remove() the OptimizerDOConv first.",
    )


def partitioned_optimizer(kind: str) -> str:
    return error(
        "an optimizer that deals its parameters out to processes takes no further ones",
        {"optimizer": kind},
        "Convert the model first, and build the optimizer afterwards.",
    )


def wrapping_optimizer(kind: str) -> str:
    return error(
        "OptimizerDOConv must be given the optimizer whose step() changes the parameters",
        {"optimizer": kind},
        "It holds another one. Where its step() only calls that one's (Accelerate), give "
        "OptimizerDOConv the inner one before it is wrapped; where it does more (SAM, Lookahead), "
        "convert() the model to DO-Conv layers instead.",
    )


def averaging_optimizer(kind: str) -> str:
    return error(
        "an optimizer must leave the parameters alone between its steps",
        {"optimizer": kind},
        "This one's train() and eval() exchange their values, and would find kernels in place of "
        "W: convert() the model to DO-Conv layers instead.",
    )


NOT_HELD = "the optimizer does not hold its weight"
DONE = "it is over-parameterized already; fold() the model, or train it as it is"
EXPERTS = "its experts have a D each only as a layer; convert() it"
SHARED = "layers of different kinds share its weight"


def nothing_at_optimizer(reasons: Mapping[str, int]) -> str:
    left = "; ".join(f"{count} left: {reason}" for reason, count in reasons.items())
    return error(
        "no convolution of the model can be over-parameterized at this optimizer",
        {"convolutions": sum(reasons.values())},
        f"{left}." if left else "",
    )


NO_FACTORS = (
    "OptimizerDOConv: the optimizer's state that is loaded holds no W and D, as where the "
    "OptimizerDOConv was not there when it was saved. D goes on from what it is now."
)


NO_NAMES = (
    "OptimizerDOConv: torch.distributed.checkpoint.state_dict calls what an optimizer holds by the "
    "model's names, and D is no parameter of the model, which stays plain. Save and load "
    "`optimizer.state_dict()` itself (torch.save, or an entry of dcp.save's state), or convert the "
    "model."
)


def other_factors(received: Any, expected: Any) -> str:
    return error(
        f"the optimizer's state must hold W and D of the same layers, in these shapes: {expected}",
        {"state": received},
        "Build model, optimizer and OptimizerDOConv as when it was saved.",
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
