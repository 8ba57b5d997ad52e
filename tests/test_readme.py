"""README's Python blocks run, in order, as one program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages

README = Path(__file__).parents[1] / "README.md"


def test_the_code_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="README's examples are in PyTorch")
    blocks = pages.program(README.read_text())
    assert len(blocks) == 5
    program = pages.run(blocks, "README.md")
    assert "DOConv2d" in capsys.readouterr().out
    assert type(program["deployed"][0]) is program["torch"].nn.Conv2d
    # the last optimizer holds W and D of a network that stayed plain
    (group,) = program["optimizer"].param_groups
    assert [tuple(p.shape) for p in group["params"]] == [(8, 3, 3, 3), (8,), (3, 9, 9)]
    assert type(program["net"][0]).__name__ == "XSepConv2d"
    assert program["layer"].corner == 1
    assert program["plain"].D_mul is None


def test_the_first_commands_are_the_two_of_make() -> None:
    first = re.search(r"^```sh\n(.*?)^```", README.read_text(), re.M | re.S)
    assert [line.split("#")[0].strip() for line in first.group(1).splitlines()] == [
        "make demo",
        "make test",
    ]
