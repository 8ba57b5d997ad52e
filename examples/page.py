"""docs/recipes.md's tables, from what the recipes themselves accept.

    python -m examples.page             write them anew
    python -m examples.page --check     fail where the page has others

Each recipe is a module with two functions:

* ``rows()``: a dictionary a row, with the keys of :data:`COLUMNS`; "" where nothing is known.
* ``networks()``: the names that ``--network`` takes, in groups: by data set, by library.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
BEGIN, END = "<!-- from the recipes: python -m examples.page -->", "<!-- end of the recipes -->"
COLUMNS = {
    "network": "network",
    "data": "data",
    "authors": "authors: baseline, gain",
    "hours": "GPU hours, plain",
    "command": "command",
}
REPRODUCED = "reproduced here"
RECIPES = {
    "MXNet Gluon": ("gluon", ("classification", "segmentation", "detection")),
    "PyTorch": ("torch", ("classification", "segmentation", "detection")),
    "Keras": ("keras", ("classification", "segmentation")),
}


def made() -> str:
    """What stands between the two marks."""
    return "\n\n".join(_chapter(title, *each) for title, each in RECIPES.items() if found(*each))


def found(framework: str, names: tuple[str, ...]) -> list[Any]:
    """The recipes of a framework that are there."""
    folder = Path(__file__).parent / framework
    there = [name for name in names if (folder / f"{name}.py").exists()]
    return [importlib.import_module(f"examples.{framework}.{name}") for name in there]


def _chapter(title: str, framework: str, names: tuple[str, ...]) -> str:
    recipes = found(framework, names)
    rows = [row for recipe in recipes for row in recipe.rows()]
    head = [*COLUMNS.values(), REPRODUCED]
    lines = [head, ["---"] * len(head), *([*map(_cell(row), COLUMNS), "no"] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    lists = [
        f"* `examples/{framework}/{recipe.__name__.rpartition('.')[2]}.py`, {group}: "
        + ", ".join(f"`{name}`" for name in members)
        for recipe in recipes
        for group, members in recipe.networks().items()
    ]
    return f"### {title}\n\n{table}\n\nNetworks:\n\n" + "\n".join(lists)


def _cell(row: dict[str, str]) -> Any:
    return lambda key: f"`{row[key]}`" if key == "command" and row[key] else row[key] or "-"


def with_tables(page: str, tables: str) -> str:
    """The page with its tables replaced.

    Raises:
        ValueError: the marks are not there, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must hold {BEGIN} and {END} once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; the exit status says whether it is current."""
    page = PAGE.read_text()
    current = with_tables(page, made())
    if "--check" in arguments:
        return int(page != current)
    PAGE.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
