"""docs/recipes.md has the tables that the recipes make."""

from __future__ import annotations

import pytest

from examples import page
from tests.star.backends import backend as backends

NEEDED = {"gluon", "torch", "keras"}
SOME = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"


@pytest.mark.skipif(not set(backends.names()) >= NEEDED, reason="not with all frameworks")
def test_the_page_is_current() -> None:
    for name in NEEDED:
        backends.load(name)
    assert page.main(["--check"]) == 0, "write it anew: python -m examples.page"


def test_only_what_is_between_the_marks_changes() -> None:
    assert page.with_tables(SOME, "new") == SOME.replace("old", "\nnew\n")


@pytest.mark.parametrize("text", ["", SOME + SOME], ids=["no marks", "two"])
def test_a_page_without_its_marks_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        page.with_tables(text, "new")
