"""``--only``: which layers to change."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.layers.layers import DOLayer, Layer


class Only:
    """Picks layers by name, or by a part of the file: a state dict's place, a module's name.

    Args:
        patterns: each a layer, or what is before a ``/`` or ``.`` of its name; with none, every
            layer is picked.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [pattern.rstrip("/.") for pattern in patterns]

    def pick(self, layers: Sequence[Layer], sections: Sequence[str]) -> list[Layer]:
        """The layers among these.

        Args:
            layers: all of them.
            sections: where the file's state dicts are; if it is one, names do not say it.

        Raises:
            UsageError: a pattern fits nothing.
        """
        if not self._patterns:
            return list(layers)
        place = sections[0] if len(sections) == 1 else ""
        for pattern in self._patterns:
            if not any(_fits(pattern, layer.name, place) for layer in layers):
                raise UsageError(f"--only: {pattern!r} fits no layer")
        return [
            layer
            for layer in layers
            if any(_fits(pattern, layer.name, place) for pattern in self._patterns)
        ]


def check_nothing_left(
    source: CheckpointFile, layers: Sequence[Layer], chosen: Sequence[DOLayer]
) -> None:
    """Raise ValueError where OUT would hold a D that nobody asked to keep.

    Args:
        source: the file.
        layers: all that was found in it.
        chosen: those that are folded.
    """
    left = source.unplaced(layers)
    if left:
        raise ValueError(
            f"a D would remain in OUT, for these are of no layer: {', '.join(map(repr, left))}; "
            "pass --only PATH to fold a part of the file on purpose"
        )


def _fits(pattern: str, name: str, place: str) -> bool:
    names = [name, f"{place}/{name}"] if place else [name]
    return any(
        fnmatchcase(start, pattern)
        for name in names
        for start in (name, *(name[:end] for end, c in enumerate(name) if c in "/._"))
    )
