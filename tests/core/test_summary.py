"""The rows of a summary, their sums, and what conversion would cost."""

from __future__ import annotations

import pytest

from doconv_core import CondConvSpec, DOConvSpec, Summary, messages
from doconv_core.model.rows import SummaryRow, layer_row
from doconv_core.model.summary import size

PLAIN = messages.model.CONVERTIBLE
DENSE, DEPTHWISE = DOConvSpec(8, 4, (3, 3)), DOConvSpec(8, 8, (5, 5), 8, D_mul=30)
POINT = DOConvSpec(4, 4, (1, 1))
EXPERTS = CondConvSpec(8, 4, (3, 3), num_experts=2)
SEPARABLE = DOConvSpec(8, 16, (3, 3), 8), DOConvSpec(16, 4, (1, 1))

ADDED = {
    "D": (layer_row("a", "DOConv", DENSE, reason="", bias=True), 8 * 81),
    "D and W_extra": (
        layer_row("a", "DOConv", DEPTHWISE, reason="", bias=False),
        8 * 25 * 30 + 8 * 5,
    ),
    "before conversion": (layer_row("a", "Conv", DENSE, reason=PLAIN, bias=True), 8 * 81),
    "plain experts": (layer_row("a", "CondConv", EXPERTS, reason=PLAIN, bias=True), 2 * 8 * 81),
    "a separable layer": (
        layer_row("a", "DOSep", SEPARABLE[0], reason="", bias=True, then=SEPARABLE[1]),
        8 * 81,
    ),
    "one that stays plain": (
        layer_row("a", "Conv", DENSE, reason=messages.model.OWN_FORWARD, bias=True),
        0,
    ),
}


@pytest.mark.parametrize(("row", "added"), ADDED.values(), ids=ADDED)
def test_a_row_says_what_D_adds_or_would_add(row: SummaryRow, added: int) -> None:
    assert (row.added, row.added_bytes) == (added, 4 * added)
    assert row.parameters is not None
    plain, trained, folded = row.parameters
    assert plain == folded
    assert trained - plain == (0 if row.reason else added)


ROWS = Summary(
    [
        layer_row("0", "DOConv", DENSE, reason="", bias=True, itemsize=2),
        layer_row("1", "Conv", DENSE, reason=PLAIN, bias=False, calls=[(2, (5, 5), (3, 3))]),
        layer_row(
            "2", "Conv", DOConvSpec(4, 4, (1, 1)), reason=messages.model.POINTWISE, bias=True
        ),
        SummaryRow("3", "Odd", reason=messages.model.QUANTIZED),
    ]
)


def test_totals() -> None:
    totals = ROWS.totals
    assert totals[:3] == (4, 1, 1)
    weights = 8 * 4 * 9
    assert totals.parameters == (2 * weights + 4 + 20, 2 * weights + 4 + 20 + 648, 2 * weights + 24)
    assert totals.macs == (2 * 9 * weights,) * 3
    assert (totals.added, totals.added_bytes) == (648, 2 * 648)
    assert (totals.forecast, totals.forecast_bytes) == (648, 4 * 648)
    assert Summary().totals.macs is None


def test_the_table_ends_with_the_sums_and_the_forecast() -> None:
    *_, total, forecast = str(ROWS).splitlines()
    assert total.split()[:5] == ["total", "1", "of", "4", "converted"]
    assert total.split()[5:9] == ["600", "1,248", "600", "648"]
    assert forecast == (
        "convert() would add 648 parameters (2.59 kB) to 1 convolution(s), in brackets above; "
        "most of them, 648, to 1."
    )
    assert "(648)" in str(ROWS)
    assert str(Summary(ROWS[:1])).splitlines()[-1].startswith("total")


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (82_944, "82.9 kB"), (2.5e9, "2.5 GB"), (2.225e13, "22,250.0 GB")],
)
def test_bytes_are_said_in_powers_of_1000(count: int, said: str) -> None:
    assert size(count) == said
