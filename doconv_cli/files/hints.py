"""What a checkpoint cannot tell and the command line is asked for: values for layers by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from doconv_cli.files.errors import UsageError

T = TypeVar("T")

KernelSize = tuple[int, ...]

SQUARE = "square"
DEPTHWISE = "depthwise"
NONE = "none"


class Patterns(Generic[T]):
    """Values for layers by name; the first pattern that fits a name decides.

    Args:
        option: the option's name, for errors.
        rules: pairs of a pattern, with ``*``, ``?`` and ``[...]`` as in file names, and a value.
    """

    def __init__(self, option: str, rules: Sequence[tuple[str, T]]) -> None:
        self.option, self.rules = option, rules
        self._used: set[str] = set()

    def get(self, name: str) -> T | None:
        """The value for a layer; None where no pattern fits its name."""
        for pattern, value in self.rules:
            if fnmatchcase(name, pattern):
                self._used.add(pattern)
                return value
        return None

    def names(self, name: str) -> bool:
        """Whether the pattern that decides for a layer is one for some layers only."""
        fits = (pattern for pattern, _ in self.rules if fnmatchcase(name, pattern))
        return next(fits, "*") != "*"

    def check_used(self) -> None:
        """Raise UsageError for a pattern that decided nothing: it may be misspelt."""
        for pattern, _ in self.rules:
            if pattern not in self._used:
                raise UsageError(f"{self.option}: {pattern!r} fits no layer that needs it")


class Hints:
    """Everything that was said about layers by options.

    Args:
        kernel_size: each "PATTERN=3x3", or "3x3" for every layer; "square" for the value lets
            the number of elements decide.
        groups: each "PATTERN=2", or "2"; "depthwise" for the value means one per channel.
        transposed: each a pattern; "none" says that none is. Where any is given, the layers that
            they do not fit are ordinary ones.
        official: likewise the authors' layers; the others are this library's.

    Raises:
        UsageError: a value cannot be parsed.
    """

    def __init__(
        self,
        kernel_size: Sequence[str] = (),
        groups: Sequence[str] = (),
        transposed: Sequence[str] = (),
        official: Sequence[str] = (),
    ) -> None:
        self.kernel_size = _parse("--kernel-size", kernel_size, _kernel_size)
        self.groups = _parse("--groups", groups, _groups)
        self.transposed = _parse_names("--transposed", transposed)
        self.official = _parse_names("--official", official)
        self._told = {self.transposed: bool(transposed), self.official: bool(official)}

    def is_transposed(self, name: str, *, needed: bool) -> bool | None:
        """Whether a layer is transposed; None where nothing was said that is needed."""
        if self.transposed.get(name):
            return True
        return False if self._told[self.transposed] and needed else None

    def is_official(self, name: str) -> bool | None:
        """Whether a layer that may be either is the authors'; None where nothing was said."""
        if self.official.get(name):
            return True
        return False if self._told[self.official] else None

    def check_used(self) -> None:
        """Raise UsageError for a value that no layer needed."""
        for patterns in (self.kernel_size, self.groups, self.transposed, self.official):
            patterns.check_used()


def _parse(option: str, given: Sequence[str], parse: Callable[[str], T]) -> Patterns[T]:
    rules = []
    for text in given:
        pattern, _, value = text.rpartition("=")
        try:
            rules.append((pattern or "*", parse(value)))
        except ValueError:
            raise UsageError(f"{option} cannot be {text!r}") from None
    return Patterns(option, rules)


def _parse_names(option: str, given: Sequence[str]) -> Patterns[bool]:
    return Patterns(option, [(pattern, True) for pattern in given if pattern != NONE])


def _kernel_size(text: str) -> KernelSize | str:
    return text if text == SQUARE else tuple(_positive(part) for part in text.split("x"))


def _groups(text: str) -> int | str:
    return text if text == DEPTHWISE else _positive(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
