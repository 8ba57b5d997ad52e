"""One convolution in a summary: what it costs as it is, as it trains, and folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from doconv_core import messages
from doconv_core.costs.condconv import condconv_cost
from doconv_core.costs.conv import LayerCost, layer_cost
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.model.family import Spec
from doconv_core.neighbours.condconv import CondConvSpec

Sizes = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Of one call of a layer: batch size, input size, output size."""


@dataclass(frozen=True)
class SummaryRow:
    """One convolution of a model.

    Attributes:
        name: its path in the model ("" for the root).
        kind: its class.
        K: kernel elements; None where the layer's sizes could not be read.
        S: columns of W, i.e. D_mul; None for a plain layer.
        parameters: of the plain layer, as trained now, and after fold.
        macs: multiply-accumulates of one forward pass: plain, as trained now, folded; None
            where no example input was given, or the layer was not reached by it.
        reason: why the layer is plain; "" for a DO-Conv layer.
        added: parameters that D (and W_extra) add; of a layer that convert would change, those
            that they would add. 0 where it stays plain, or uses an earlier row's D; None as for K.
        added_bytes: their memory, in bytes. Gradients and an optimizer's state come on top.
    """

    name: str
    kind: str
    K: int | None = None
    S: int | None = None
    parameters: tuple[int, int, int] | None = None
    macs: tuple[int, int, int] | None = None
    reason: str = ""
    added: int | None = None
    added_bytes: int | None = None

    @property
    def is_convertible(self) -> bool:
        """Whether ``convert`` would over-parameterize the layer."""
        return self.reason == messages.model.CONVERTIBLE


def layer_row(
    name: str,
    kind: str,
    spec: Spec,
    *,
    reason: str,
    bias: bool,
    routing: bool = False,
    routing_bias: bool = False,
    composition: str = "kernel",
    calls: Sequence[Sizes] = (),
    then: DOConvSpec | None = None,
    itemsize: int = 4,
) -> SummaryRow:
    """The row of a layer whose sizes are known.

    Args:
        name: its path.
        kind: its class.
        spec: its sizes.
        reason: why it is plain; "" for an over-parameterized one.
        bias: whether it has one.
        routing: whether it has one of its own.
        routing_bias: whether that has a bias.
        composition: how it trains.
        calls: the sizes of its calls in one forward pass; none if there was no input.
        then: a plain layer that it ends with, and that the bias belongs to (separable layers).
        itemsize: bytes of one of its numbers.
    """

    def cost(spec: Spec, sizes: Sizes) -> LayerCost:
        batch, inputs, outputs = sizes
        if isinstance(spec, CondConvSpec):
            parts = {"bias": bias, "routing": routing, "routing_bias": routing_bias}
            return condconv_cost(spec, outputs, batch_size=batch, **parts).layer
        own = bias and then is None
        whole = layer_cost(spec, outputs, input_size=inputs, batch_size=batch, bias=own)
        if then is None:
            return whole
        return whole + layer_cost(then, outputs, batch_size=batch, bias=bias)

    def forms(total: LayerCost, figure: str) -> tuple[int, int, int]:
        trained = total.plain if reason else getattr(total, composition)
        plain, now, folded = (
            getattr(each, figure) for each in (total.plain, trained, total.folded)
        )
        return plain, now, folded

    one = (1, (1,) * len(spec.kernel_size), (1,) * len(spec.kernel_size))
    added = 0
    if reason in ("", messages.model.CONVERTIBLE):
        # Plain experts have a spec without D; as for every layer, convert gives them K columns.
        experts = isinstance(spec, CondConvSpec) and not spec.has_D
        converted = cost(replace(spec, D_mul="K") if experts else spec, one)
        added = converted.kernel.parameters - converted.plain.parameters
    return SummaryRow(
        name,
        kind,
        spec.K,
        None if reason else spec.S,
        forms(cost(spec, one), "parameters"),
        forms(reduce(add, (cost(spec, sizes) for sizes in calls)), "macs") if calls else None,
        reason,
        added,
        added * itemsize,
    )
