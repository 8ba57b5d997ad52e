"""Nothing is printed; the logger "doconv" tells at INFO what convert and fold did."""

from __future__ import annotations

import logging

import pytest

from doconv_core import messages
from doconv_torch import convert, fold
from tests.torch_adapter.helpers import network


def test_info_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        model = convert(network(), where=lambda name, _: name != "6")
        fold(model)
    assert caplog.record_tuples == [
        (
            "doconv",
            logging.INFO,
            "convert: 3 of 5 convolutions over-parameterized; "
            f"1 left: {messages.model.POINTWISE}; 1 left: {messages.model.NOT_SELECTED}",
        ),
        ("doconv", logging.INFO, "fold: 3 convolutions folded"),
    ]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    fold(convert(network()))
    assert capfd.readouterr() == ("", "")
