"""What tests say that they prove: the markers on them, read without importing anything.

    @pytest.mark.integration("Lightning", "convert", "train", "resume")
    @pytest.mark.integration("ONNX", export="fold first")

The first argument is a name of the catalogue; then steps that the test proves, or, by keyword, a
cell's own words, which the test shows to be true.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MARKER = "integration"


class Claim(NamedTuple):
    """One marker on one test.

    Attributes:
        integration: its name.
        cells: the words of each step; "" where the test speaks for itself.
        test: its name.
        file: relative to the folder that was searched.
    """

    integration: str
    cells: dict[str, str]
    test: str
    file: str


def claims(folder: Path) -> list[Claim]:
    """Of all tests in a folder, in the order of files and lines.

    Raises:
        ValueError: a marker stands where it is not read, or its arguments are no strings.
    """
    return [
        claim
        for path in sorted(folder.rglob("test_*.py"))
        for claim in _claims(path.read_text(encoding="utf-8"), str(path.relative_to(folder)))
    ]


def _claims(source: str, file: str) -> Iterator[Claim]:
    if f"mark.{MARKER}" not in source:
        return
    tree = ast.parse(source)
    tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    marked = [(test, call) for test in tests for call in test.decorator_list if _is_marker(call)]
    if len(marked) != sum(map(_is_marker, ast.walk(tree))):
        raise ValueError(f"{file}: the marker belongs above a test, as a decorator of its own")
    for test, call in marked:
        assert isinstance(call, ast.Call)
        arguments = [ast.literal_eval(each) for each in call.args]
        words = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        if not arguments or not all(isinstance(s, str) for s in (*arguments, *words.values())):
            raise ValueError(f"{file}::{test.name}: the marker takes strings, first a name")
        name, *steps = arguments
        yield Claim(name, {**dict.fromkeys(steps, ""), **words}, test.name, file)


def _is_marker(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{MARKER}"
