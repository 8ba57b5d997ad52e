"""What the pages list is there: every public name has its entry."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {"core": "doconv_core", "torch": "doconv_torch", "keras": "doconv_tf",
         "tf_keras": "doconv_tf_keras", "gluon": "doconv_gluon"}  # fmt: skip


def public(package: str) -> set[str]:
    """``__all__``, read without importing the framework."""
    for node in ast.parse((ROOT / package / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{package} has no __all__")


@pytest.mark.parametrize(("page", "package"), PAGES.items(), ids=PAGES)
def test_every_public_name_has_its_entry_and_no_other(page: str, package: str) -> None:
    text = (ROOT / "docs" / "api" / f"{page}.md").read_text()
    entries = re.findall(r"^\.\. (?:auto|py:)\w+:: (\S+)$", text, re.M)
    assert len(entries) == len(set(entries))
    assert {e.rsplit(".", 1)[1] for e in entries if e.count(".") == 1} == public(package)
