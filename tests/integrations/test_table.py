"""The page says what the tests say, and the table has no hole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integrations.catalogue import Integration
from tests.integrations.claims import Claim, claims
from tests.integrations.table import PAGE, ROOT, cells, pins, tables, with_tables


def test_the_page_is_what_the_tests_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    wanted = with_tables(page, tables(claims(ROOT / "tests"), pins()))
    assert page == wanted, "write it anew: python -m tests.integrations.table"


def test_versions_are_those_of_the_constraints(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# of tools\nruff==1\ntorch==1\nmy_own.tool==2.0+cpu\n")
    (tmp_path / "numpy1.txt").write_text("torch==2.13.0\n")
    assert pins(tmp_path) == {"torch": "2.13.0", "ruff": "1", "my-own-tool": "2.0+cpu"}


MARKED = """
@pytest.mark.integration("Lightning", "train", fold="fold first")
@pytest.mark.integration("Accelerate", "train")
@pytest.mark.filterwarnings("ignore")
def test_it() -> None: ...
"""


def test_markers_are_read_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "test_x.py").write_text(MARKED)
    (tmp_path / "helpers.py").write_text(MARKED)
    assert claims(tmp_path) == [
        Claim("Lightning", {"train": "", "fold": "fold first"}, "test_it", "sub/test_x.py"),
        Claim("Accelerate", {"train": ""}, "test_it", "sub/test_x.py"),
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    {
        "of a module": ('pytestmark = pytest.mark.integration("a")\n', "belongs above a test"),
        "of a helper": ('@pytest.mark.integration("a")\ndef helper(): ...', "belongs above a test"),
        "nameless": ("@pytest.mark.integration()\ndef test_a(): ...", "first a name"),
        "a number": ('@pytest.mark.integration("a", 1)\ndef test_a(): ...', "takes strings"),
    }.values(),
)
def test_a_marker_that_would_not_be_read_is_an_error(
    source: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "test_x.py").write_text(source)
    with pytest.raises(ValueError, match=said):
        claims(tmp_path)


ONE = Integration("Lightning", "convert train")


@pytest.mark.parametrize(
    ("found", "said"),
    {
        "a hole": ([("Lightning", {"train": ""})], "Lightning, convert: the cell has no test"),
        "another name": ([("lightning", {"train": ""})], "'lightning' is not in the catalogue"),
        "another step": ([("Lightning", {"sing": ""})], "'sing' is none of convert, train"),
        "no meaning": (
            [("Lightning", {"convert": "", "train": "", "save": ""})],
            "Lightning, save: the cell has a test, and no meaning",
        ),
    }.values(),
)
def test_what_does_not_fit_is_an_error(found: list[tuple[str, dict[str, str]]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cells([Claim(name, steps, "test_it", "test_x.py") for name, steps in found], [ONE])
