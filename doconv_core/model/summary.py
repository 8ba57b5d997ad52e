"""What happened to a model: a row per convolution, the same in every framework."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

from doconv_core.costs.condconv import condconv_cost
from doconv_core.costs.conv import LayerCost, layer_cost
from doconv_core.kernel.spec import DOConvSpec
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
    """

    name: str
    kind: str
    K: int | None = None
    S: int | None = None
    parameters: tuple[int, int, int] | None = None
    macs: tuple[int, int, int] | None = None
    reason: str = ""


def layer_row(
    name: str,
    kind: str,
    spec: DOConvSpec | CondConvSpec,
    *,
    reason: str,
    bias: bool,
    routing: bool = False,
    composition: str = "kernel",
    calls: Sequence[Sizes] = (),
    then: DOConvSpec | None = None,
) -> SummaryRow:
    """The row of a layer whose sizes are known.

    Args:
        name: its path.
        kind: its class.
        spec: its sizes.
        reason: why it is plain; "" for an over-parameterized one.
        bias: whether it has one.
        routing: whether it has one of its own.
        composition: how it trains.
        calls: the sizes of its calls in one forward pass; none if there was no input.
        then: a plain layer that it ends with, and that the bias belongs to (separable layers).
    """

    def cost(sizes: Sizes) -> LayerCost:
        batch, inputs, outputs = sizes
        if isinstance(spec, CondConvSpec):
            parts = {"bias": bias, "routing": routing}
            return condconv_cost(spec, outputs, batch_size=batch, **parts).layer
        own = bias and then is None
        whole = layer_cost(spec, outputs, input_size=inputs, batch_size=batch, bias=own)
        return (
            whole
            if then is None
            else whole + layer_cost(then, outputs, batch_size=batch, bias=bias)
        )

    def forms(total: LayerCost, figure: str) -> tuple[int, int, int]:
        trained = total.plain if reason else getattr(total, composition)
        return tuple(getattr(each, figure) for each in (total.plain, trained, total.folded))  # type: ignore[return-value]

    one = (1,) * len(spec.kernel_size)
    macs = forms(reduce(add, map(cost, calls)), "macs") if calls else None
    S = None if reason else spec.S
    return SummaryRow(name, kind, spec.K, S, forms(cost((1, one, one)), "parameters"), macs, reason)


class Summary(tuple[SummaryRow, ...]):
    """The rows of a model; print it for a table, index it for a row."""

    __slots__ = ()

    def __new__(cls, rows: Iterable[SummaryRow] = ()) -> Summary:
        return super().__new__(cls, rows)

    @property
    def converted(self) -> tuple[SummaryRow, ...]:
        """The rows of the DO-Conv layers."""
        return tuple(row for row in self if not row.reason)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for json or a data frame."""
        return [asdict(row) for row in self]

    def __str__(self) -> str:
        header = ("name", "kind", "K", "S", "parameters: plain", "trained", "folded",
                  "MACs: plain", "trained", "folded", "why plain")  # fmt: skip
        body = [
            (
                row.name or "(root)", row.kind, _cell(row.K), _cell(row.S),
                *map(_cell, row.parameters or (None,) * 3),
                *map(_cell, row.macs or (None,) * 3), row.reason,
            )
            for row in self
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
        text = (0, 1, len(header) - 1)  # these align left, numbers right
        lines = [
            "  ".join(
                cell.ljust(width) if i in text else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (header, *body)
        ]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])

    __repr__ = __str__


def _cell(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
