"""The distribution is called doconv-layers: `doconv` on the index is another project."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRONG = re.compile(r"install +(-\S+ +)*['\"]?doconv(?![-_])|['\"]doconv\\*\[")


def test_no_page_or_message_tells_to_install_another_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.yml", "*.yaml", "Makefile"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    found = [
        f"{name}: {match[0]}"
        for name in listed
        if name != "tests/test_distribution.py" and (ROOT / name).exists()
        for match in WRONG.finditer((ROOT / name).read_text())
    ]
    assert found == []


def test_that_test_can_fail() -> None:
    for text in ("pip install 'doconv[torch]'", "pip install doconv", 'x = ["doconv[cli]"]'):
        assert WRONG.search(text)
    assert not WRONG.search("pip install 'doconv-layers[torch]'")
