"""docs/recipes.md has the tables that the recipes make."""

from __future__ import annotations

import contextlib

import pytest

from doconv_core import NETWORKS
from examples import names, page
from examples.gluon import published
from examples.gluon.settings import IMAGENET
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


def test_a_table_leaves_out_columns_in_which_nothing_is_known() -> None:
    row = {"network": "a", "data": "b", "authors": "", "command": "c"}
    assert page.table([row]) == (
        "| network | reproduced here | command |\n| --- | --- | --- |\n| a | no | `c` |"
    )


@pytest.mark.parametrize(
    ("name", "taken", "is_known"),
    [("a", ["a", "b"], True), ("c", ["a", "b"], False), ("mine:net", ["a", "module:name"], True),
     ("mine:net", ["a"], False), ("timm/a", ["timm/NAME"], True), ("timm/a", ["mod:fn"], False)],
)  # fmt: skip
def test_a_network_is_one_of_those_or_of_a_library_or_module_where_such_are_taken(
    name: str, taken: list[str], *, is_known: bool
) -> None:
    with contextlib.nullcontext() if is_known else pytest.raises(SystemExit, match=f"No.* {name}"):
        assert names.known({"group": taken}, name) == name


def test_help_lists_networks_by_group() -> None:
    assert names.listed({"one": ["a", "b-c"], "two": ["d"]}) == (
        "networks:\n  one: a, b-c\n  two: d"
    )


OURS = {
    "mobilenet1.0": "mobilenet_v1",
    "mobilenetv2_1.0": "mobilenet_v2",
    "mobilenetv3_large": "mobilenet_v3_large",
    "mobilenetv3_small": "mobilenet_v3_small",
}
"""What the core calls GluonCV's networks."""


def test_the_authors_table_has_twenty_rows_and_each_a_command() -> None:
    rows = [row for row in published.classification_rows() if row["data"] == "ImageNet"]
    assert len(rows) == 20
    assert all(row["authors"] and f"--network {row['network']} " in row["command"] for row in rows)


def test_the_networks_whose_costs_are_known_can_be_trained() -> None:
    known = {name for name in NETWORKS if not name.startswith("condconv_")}
    known -= {f"resnet{depth}" for depth in (18, 34, 50, 101, 152)}  # v1b, by another name
    assert {OURS.get(name, name) for name in IMAGENET} == known
