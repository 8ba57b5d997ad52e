"""The code on a page, and running it: the blocks of a page, in order, are one program.

    python tests/docs/pages.py README.md

A block that begins with ``>>>`` is a dialogue, and what it answers is checked. Needs the standard
library alone: it also runs where only the package that is being tried out is installed.
"""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def program(text: str) -> list[str]:
    """The Python blocks."""
    return [block for _, language, block in BLOCK.findall(text) if language == "python"]


def run(blocks: list[str], name: str) -> dict[str, Any]:
    """Run the blocks in one namespace, which is given back; raise what they raise."""
    values: dict[str, Any] = {"__name__": name}
    for block in blocks:
        if block.startswith(">>>"):
            dialogue = doctest.DocTestParser().get_doctest(block, values, name, name, 0)
            said: list[str] = []
            runner = doctest.DocTestRunner(optionflags=OPTIONS)
            runner.run(dialogue, out=said.append, clear_globs=False)
            if runner.failures:
                raise AssertionError("".join(said))
            values.update(dialogue.globs)
        else:
            exec(compile(block, name, "exec"), values)
    return values


if __name__ == "__main__":
    for page in sys.argv[1:]:
        run(program(Path(page).read_text(encoding="utf-8")), page)
