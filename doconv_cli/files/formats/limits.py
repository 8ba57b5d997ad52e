"""How much a file may make of its bytes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from doconv_cli.files.errors import UsageError
from doconv_cli.text import counted

PICKLE = 1 << 25
"""Bytes of a pickle without its tensors. Its objects can take a hundred times as many."""

EXPANDED = 1 << 33
"""Bytes of what is compressed."""

RATIO = 200
"""Of expanded to compressed bytes; a real network's numbers do not compress to a half."""


@dataclass(frozen=True)
class Limits:
    """What is refused as a bomb.

    Attributes:
        max_bytes: what ``--max-bytes`` said; takes the place of all limits.
    """

    max_bytes: int | None = None

    def check_pickle(self, size: int) -> None:
        """Raise UsageError for a pickle of too many bytes."""
        self._check(size, self.max_bytes or PICKLE, "objects that are no arrays")

    def check_expanded(self, expanded: int, compressed: int) -> None:
        """Raise UsageError for data that would grow too large."""
        limit = self.max_bytes or min(EXPANDED, RATIO * max(compressed, 1 << 16))
        self._check(expanded, limit, "what it holds compressed")

    def check_zip(self, path: Path) -> None:
        """Raise UsageError for an archive that would grow too large; what is no archive passes."""
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except Exception:
            return
        self.check_expanded(
            sum(member.file_size for member in members),
            min(path.stat().st_size, sum(member.compress_size for member in members)),
        )

    def _check(self, size: int, limit: int, what: str) -> None:
        if size > limit:
            raise UsageError(
                f"{what} would take {counted(size, 'byte')}, more than the limit of {limit:,}; "
                "where you trust the file, raise it by --max-bytes"
            )
