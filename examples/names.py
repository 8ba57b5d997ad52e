"""The networks that a recipe accepts, as its user is told."""

from __future__ import annotations

import textwrap

Names = dict[str, list[str]]
"""Of networks, in groups: by data set, by library."""


def listed(networks: Names) -> str:
    """For the end of ``--help``."""
    groups = (f"{group}: {', '.join(names)}" for group, names in networks.items())
    style = {"initial_indent": "  ", "subsequent_indent": "    ", "break_on_hyphens": False}
    return "\n".join(["networks:", *(textwrap.fill(each, 79, **style) for each in groups)])


def known(networks: Names, name: str) -> str:
    """The name, if it is one of those, or of a library or a module where such are taken."""
    taken = [each for names in networks.values() for each in names]
    if name in taken or any(mark in name and mark in "".join(taken) for mark in ":/"):
        return name
    raise SystemExit(f"No network {name}. --help lists those that there are.")
