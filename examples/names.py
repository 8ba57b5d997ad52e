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
    """The name, if it is one of those, or says whose it is: a library's, or a user's module's."""
    if any(name in names for names in networks.values()) or set(name) & set(":/"):
        return name
    raise SystemExit(f"No network {name}. --help lists those that there are.")
