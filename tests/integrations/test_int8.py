"""int8 costs a folded network what it costs a plain one: the records, and the page they make."""

from __future__ import annotations

from statistics import fmean

import pytest

from benchmarks.int8.page import PAGE, recorded, text, tools, with_table
from benchmarks.int8.row import Row

ROWS = tools(recorded())


def test_the_page_is_what_was_recorded() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page, text(recorded())), "write it anew: python -m benchmarks.int8"


@pytest.mark.integration("torchao PT2E (int8)", "fold", export="fold first")
@pytest.mark.integration("onnxruntime static (int8)", "fold", export="fold first")
@pytest.mark.integration('quantize("int8")', "fold", export="fold first")
@pytest.mark.integration("TFLite, full integer (int8)", "fold", export="fold first")
@pytest.mark.integration("quantize_net (int8)", "fold", export="fold first")
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_quantization_costs_a_folded_network_no_more_than_a_plain_one(rows: list[Row]) -> None:
    """Within a percentage point in the mean of the seeds: nine of the 899 test images."""
    assert len({row.seed for row in rows}) >= 3
    plain = fmean(row.plain_int8 - row.plain for row in rows)
    folded = fmean(row.folded_int8 - row.folded for row in rows)
    assert folded > plain - 1
    assert abs(folded) < 1
