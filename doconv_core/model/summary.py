"""What happened to a model: a row per convolution, the same in every framework, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple

from doconv_core.model.rows import SummaryRow


class Totals(NamedTuple):
    """Sums over the rows of a summary; what a row does not know counts as nothing.

    Attributes:
        convolutions: how many there are.
        converted: how many of them are over-parameterized.
        convertible: how many more ``convert`` would over-parameterize.
        parameters: of all convolutions: plain, as trained now, folded.
        macs: likewise; None where no row has any.
        added: parameters of the D's (and W_extra's) there are.
        added_bytes: their memory, in bytes.
        forecast: parameters that ``convert`` would add.
        forecast_bytes: their memory, in bytes.
    """

    convolutions: int
    converted: int
    convertible: int
    parameters: tuple[int, int, int]
    macs: tuple[int, int, int] | None
    added: int
    added_bytes: int
    forecast: int
    forecast_bytes: int


class Summary(tuple[SummaryRow, ...]):
    """The rows of a model; print it for a table, index it for a row."""

    __slots__ = ()

    def __new__(cls, rows: Iterable[SummaryRow] = ()) -> Summary:
        return super().__new__(cls, rows)

    @property
    def converted(self) -> tuple[SummaryRow, ...]:
        """The rows of the DO-Conv layers."""
        return tuple(row for row in self if not row.reason)

    @property
    def convertible(self) -> tuple[SummaryRow, ...]:
        """The rows of the layers that ``convert`` would over-parameterize."""
        return tuple(row for row in self if row.is_convertible)

    @property
    def totals(self) -> Totals:
        """The sums of the rows."""
        macs = [row.macs for row in self if row.macs]
        return Totals(
            len(self),
            len(self.converted),
            len(self.convertible),
            _sums(row.parameters for row in self if row.parameters),
            _sums(macs) if macs else None,
            sum(row.added or 0 for row in self.converted),
            sum(row.added_bytes or 0 for row in self.converted),
            sum(row.added or 0 for row in self.convertible),
            sum(row.added_bytes or 0 for row in self.convertible),
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for json or a data frame."""
        return [asdict(row) for row in self]

    def __str__(self) -> str:
        header = ("name", "kind", "K", "S", "parameters: plain", "trained", "folded", "D adds",
                  "MACs: plain", "trained", "folded", "why plain")  # fmt: skip
        body = [
            (
                row.name or "(root)", row.kind, _cell(row.K), _cell(row.S),
                *map(_cell, row.parameters or (None,) * 3), _added(row),
                *map(_cell, row.macs or (None,) * 3), row.reason,
            )
            for row in self
        ]  # fmt: skip
        totals = self.totals
        total = (
            "total", f"{totals.converted} of {totals.convolutions} converted", "", "",
            *map(_cell, totals.parameters), _cell(totals.added),
            *map(_cell, totals.macs or (None,) * 3), "",
        )  # fmt: skip
        widths = [max(map(len, column)) for column in zip(header, *body, total, strict=True)]
        text = (0, 1, len(header) - 1)  # these align left, numbers right
        first, *rows, last = [
            "  ".join(
                cell.ljust(width) if i in text else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (header, *body, total)
        ]
        rule = "-" * len(first)
        return "\n".join([first, rule, *rows, rule, last, *self._forecast()])

    __repr__ = __str__

    def _forecast(self) -> list[str]:
        """What conversion would cost, in a line; none where there is nothing left to convert."""
        totals = self.totals
        if not totals.convertible:
            return []
        largest = max(self.convertible, key=lambda row: row.added or 0)
        return [
            f"convert() would add {totals.forecast:,} parameters ({size(totals.forecast_bytes)}) "
            f"to {totals.convertible} convolution(s), in brackets above; most of them, "
            f"{largest.added:,}, to {largest.name or '(root)'}."
        ]


def size(count: int) -> str:
    """A number of bytes as people read it: "82.9 kB", in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:,.1f} GB"


def _sums(rows: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    plain, trained, folded = (sum(column) for column in zip((0, 0, 0), *rows, strict=True))
    return plain, trained, folded


def _added(row: SummaryRow) -> str:
    return f"({row.added:,})" if row.is_convertible and row.added else _cell(row.added)


def _cell(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
