"""docs/recipes.md's tables, from what the recipes themselves accept.

    python -m examples.page             write them anew
    python -m examples.page --check     fail where the page has others

Each recipe is a module with two functions:

* ``rows()``: a dictionary a row, with ``data`` and the keys of :data:`COLUMNS`; "" where nothing
  is known.
* ``networks()``: the names that ``--network`` takes, in groups: by data set, by library.
"""

from __future__ import annotations

import importlib
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
BEGIN, END = "<!-- from the recipes: python -m examples.page -->", "<!-- end of the recipes -->"
COLUMNS = {
    "network": "network",
    "like": "like GluonCV's",
    "authors": "authors: baseline, gain",
    "hours": "GPU hours, plain",
    "reproduced": "reproduced here",
    "command": "command",
}
"""A table leaves out those that have nothing in any of its rows."""
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
    parts = [f"### {title}"]
    for recipe in found(framework, names):
        name = recipe.__name__.rpartition(".")[2]
        for data, rows in groupby(recipe.rows(), lambda row: row["data"]):
            parts += [f"#### {title}: {name}, {data}", table(list(rows))]
        lists = recipe.networks().items()
        parts.append(f"`--network` of `examples/{framework}/{name}.py`:")
        parts.append("\n".join(f"* {group}: {_quoted(each)}" for group, each in lists))
    return "\n\n".join(parts)


def table(rows: list[dict[str, str]]) -> str:
    """One in Markdown."""
    rows = [{**row, "reproduced": "no", "command": f"`{row['command']}`"} for row in rows]
    columns = [key for key in COLUMNS if any(row.get(key) for row in rows)]
    lines = [[row.get(key) or "-" for key in columns] for row in rows]
    head = [[COLUMNS[key] for key in columns], ["---"] * len(columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in head + lines)


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


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
