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
    assert len(blocks) == 4
    program = pages.run(blocks, "README.md")
    said = capsys.readouterr().out
    assert "DOConv2d" in said
    assert "convert() would add" in said
    assert type(program["deployed"][0]) is program["torch"].nn.Conv2d
    assert type(program["layer"]).__name__ == "DOConv2d"
    # only the second layer was picked
    assert [type(layer).__name__ for layer in program["net"]] == ["Conv2d", "DOConv2d"]
    # the last optimizer holds W and D of a network that stayed plain
    (group,) = program["optimizer"].param_groups
    assert sorted(tuple(p.shape) for p in group["params"]) == [(3, 9, 9), (8,), (8, 3, 3, 3)]
    assert type(program["plain"][0]) is program["torch"].nn.Conv2d


def test_the_first_commands_are_the_two_of_make() -> None:
    first = re.search(r"^```sh\n(.*?)^```", README.read_text(), re.M | re.S)
    assert [line.split("#")[0].strip() for line in first.group(1).splitlines()] == [
        "make demo",
        "make test",
    ]


def test_it_is_short_and_what_it_links_to_is_there() -> None:
    text = README.read_text()
    assert len(text.splitlines()) < 200
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert len(links) > 10
    for link in links:
        assert (README.parent / link).exists(), link


def test_the_first_screen_answers_the_three_questions() -> None:
    first = "\n".join(README.read_text().splitlines()[:25])
    for question in ("What do I gain?", "What does it cost?", "What do I change?"):
        assert question in first
