"""What happened to a model: a row per convolution, the same in every framework."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from doconv_core.cost import LayerCost


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


def row_costs(
    cost: LayerCost | None, *, over_parameterized: bool, composition: str = "kernel"
) -> dict[str, tuple[int, int, int] | None]:
    """``parameters`` and ``macs`` of a row, from a layer's cost (None where not known)."""
    if cost is None:
        return {"parameters": None, "macs": None}
    now = getattr(cost, composition) if over_parameterized else cost.plain
    return {
        "parameters": (cost.plain.parameters, now.parameters, cost.folded.parameters),
        "macs": (cost.plain.macs, now.macs, cost.folded.macs),
    }


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
