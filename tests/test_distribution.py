"""The distribution is called doconv-layers: `doconv` on the index is another project."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "constraints", "docs", "examples", "tests", ".ci", ".github")
WRONG = re.compile(r"install +(-\S+ +)*['\"]?doconv(?![-_])|['\"]doconv\\*\[")


def files() -> list[Path]:
    """Every page and program: in a source distribution, which has no git, too."""
    kept = [ROOT / "Makefile", *ROOT.glob("*.*")]
    for folder in (*ROOT.glob("doconv_*"), *(ROOT / name for name in FOLDERS)):
        kept += folder.rglob("*.*")
    kinds = {".py", ".pyi", ".md", ".toml", ".yml", ".yaml", ".sh", ""}
    return [path for path in kept if path.is_file() and path.suffix in kinds]


def test_no_page_or_message_tells_to_install_another_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if path != Path(__file__)
        for match in WRONG.finditer(path.read_text())
    ]
    assert found == []


def test_that_test_can_fail() -> None:
    assert len(files()) > 100
    for text in ("pip install 'doconv[torch]'", "pip install doconv", 'x = ["doconv[cli]"]'):
        assert WRONG.search(text)
    assert not WRONG.search("pip install 'doconv-layers[torch]'")
