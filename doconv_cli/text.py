"""Texts of other people's on a terminal: names in files may hold its commands."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""A text with everything that a terminal would act on, or not show, written out.

    Example:
        >>> printable("conv\x1b[31m\n")
        'conv\\x1b[31m\\n'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 layer", "2 layers"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
