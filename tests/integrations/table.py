"""The tables of docs/integrations.md, from the markers: `python -m tests.integrations.table`.

Needs no framework. Versions are those of constraints/, so the page does not depend on the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.integrations.catalogue import CATALOGUE, STEPS, Integration
from tests.integrations.claims import Claim, claims

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "integrations.md"
BEGIN = "<!-- from the tests: python -m tests.integrations.table -->"
END = "<!-- end of the tables -->"
NO_MEANING = "—"

Cells = dict[str, dict[str, list[Claim]]]


def pins(folder: Path = ROOT / "constraints") -> dict[str, str]:
    """The version of each distribution: the star's, else the first file's that names it."""
    files = sorted(folder.glob("*.txt"), key=lambda path: (path.name != "numpy1.txt", path.name))
    found: dict[str, str] = {}
    for path in files:
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.M):
            found.setdefault(_normal(name), version)
    return found


def cells(found: Iterable[Claim], catalogue: Sequence[Integration]) -> Cells:
    """The claims of each integration and step.

    Raises:
        ValueError: a claim about an integration or a step that there is not; a cell of which no
            test tells; one that has no meaning, and a test.
    """
    table: Cells = {each.name: {step: [] for step in STEPS} for each in catalogue}
    for claim in found:
        where = f"{claim.file}::{claim.test}"
        if claim.integration not in table:
            raise ValueError(f"{where}: {claim.integration!r} is not in the catalogue")
        for step in claim.cells:
            if step not in STEPS:
                raise ValueError(f"{where}: {step!r} is none of {', '.join(STEPS)}")
            table[claim.integration][step].append(claim)
    for each in catalogue:
        for step, tests in table[each.name].items():
            if bool(tests) != (step in each.steps.split()):
                wrong = "has a test, and no meaning" if tests else "has no test"
                raise ValueError(f"{each.name}, {step}: the cell {wrong}")
    return table


def tables(found: Sequence[Claim], versions: dict[str, str]) -> str:
    """A chapter for each framework."""
    whole = cells(found, [each for framework in CATALOGUE for each in framework.integrations])
    chapters = []
    for framework in CATALOGUE:
        lines = [f"## {framework.name}", "", _quoted(framework.packages, versions), ""]
        lines += [f"| | {' | '.join(STEPS)} | tests |", "|---|" + "---|" * (len(STEPS) + 1)]
        lines += [_row(each, whole[each.name], versions) for each in framework.integrations]
        chapters.append("\n".join(lines))
    return "\n\n".join(chapters)


def with_tables(page: str, text: str) -> str:
    """The page with its tables replaced.

    Raises:
        ValueError: the marks are not there, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must hold {BEGIN} and {END} once each")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def _row(each: Integration, row: dict[str, list[Claim]], versions: dict[str, str]) -> str:
    title = f"**{each.name}**"
    if each.packages:
        title += f" ({_quoted(each.packages, versions)})"
    files = dict.fromkeys(claim.file for tests in row.values() for claim in tests)
    shown = [_cell(tests, step) for step, tests in row.items()]
    return f"| {title} | {' | '.join(shown)} | {', '.join(f'`{file}`' for file in files)} |"


def _cell(tests: list[Claim], step: str) -> str:
    return "; ".join(dict.fromkeys(_said(each, step) for each in tests)) or NO_MEANING


def _said(claim: Claim, step: str) -> str:
    name = claim.test.removeprefix("test_").replace("_", " ")
    words = claim.cells[step].replace("|", r"\|")
    return f"**{words}** ({name})" if words else name


def _quoted(packages: Iterable[str], versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[_normal(name)]}" for name in packages)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the page anew."""
    text = tables(claims(ROOT / "tests"), pins())
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
