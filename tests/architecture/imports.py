"""Who imports whom, read from the source, wherever in a file the import stands."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One module of ours that imports another."""

    source: str
    target: str
    names: tuple[str, ...]
    line: int
    hidden: bool
    """Whether it stands inside a function."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def modules(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Every module of some packages, by its dotted name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }


def imports(root: Path, packages: Iterable[str]) -> list[Import]:
    """Every import of one of these modules by another."""
    known = modules(root, packages)
    return [each for name, path in known.items() for each in _of_file(name, path, known)]


def _of_file(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = _absolute(node, name, path)
            wanted = [(f"{module}.{each.name}", each.name) for each in node.names]
        elif isinstance(node, ast.Import):
            wanted = [(each.name, "") for each in node.names]
        else:
            continue
        for dotted, imported in wanted:
            target = dotted
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and target != name:
                names = (imported,) if imported and target != dotted else ()
                yield Import(name, target, names, node.lineno, id(node) in inside)


def _absolute(node: ast.ImportFrom, name: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".") + ([""] if path.name == "__init__.py" else [])
    return ".".join([*parts[: -node.level], *([node.module] if node.module else [])])


def circles(found: Iterable[Import]) -> list[list[str]]:
    """Modules that reach themselves, in groups (Tarjan's strongly connected components)."""
    graph: dict[str, set[str]] = {}
    for each in found:
        graph.setdefault(each.source, set()).add(each.target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph.get(module, ()):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for module in list(graph):
        if module not in index:
            visit(module)
    return groups
