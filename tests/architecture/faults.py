"""What is wrong with a tree, as sentences; none for a house in order."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.architecture import house
from tests.architecture.imports import Import, circles, imports, modules


def upward(found: Iterable[Import]) -> list[str]:
    """Imports of a package that is not below, or of a room that is above."""
    return [str(each) for each in found if _is_upward(each)]


def _is_upward(each: Import) -> bool:
    (package, *path), (other, *there) = each.source.split("."), each.target.split(".")
    if package != other:
        return other not in house.BELOW[package]
    floors = house.FLOORS.get(package, ())
    if not path or not floors:  # a face shows what all its rooms have
        return False
    if not there:  # nor must a room go around by the face
        return True
    if not {path[0], there[0]} <= set(floors):  # a file in no room
        return True
    return floors.index(there[0]) > floors.index(path[0])


def hidden(found: Iterable[Import]) -> list[str]:
    """Imports inside functions that the plan does not name."""
    return [
        str(each)
        for each in found
        if each.hidden
        and not any(
            each.source == source and each.target.startswith(target)
            for source, target in house.HIDDEN
        )
    ]


def in_circles(found: Iterable[Import]) -> list[list[str]]:
    """Modules that import each other; the faces of packages, which import all, left out."""
    return circles(each for each in found if "." in each.source and "." in each.target)


def rooms(root: Path) -> list[str]:
    """Files that an adapter lacks, or has beside the plan."""
    faults = []
    for adapter in house.ADAPTERS:
        for room, files in house.ROOMS.items():
            folder = root / adapter / room
            there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
            absent = house.WITHOUT.get(adapter, {}).get(room, set())
            expected = files - absent | house.EXTRAS[adapter].get(room, set())
            faults += [f"{adapter}/{room} lacks {name}.py" for name in sorted(expected - there)]
            faults += [f"{adapter}/{room} has {name}.py" for name in sorted(there - expected)]
    return faults


def named_layers(found: Iterable[Import]) -> list[str]:
    """Files of ``model`` that import a class of layers, and do not ask their family."""
    faults = []
    for each in found:
        source, target = each.source.split("."), each.target.split(".")
        in_model = source[0] in house.ADAPTERS and source[1:2] == ["model"]
        of_layers = target[1:2] == ["layers"] and target[2:3] != []
        named = (source[-1], target[-1]) in house.NAMED_IN_MODEL
        if in_model and of_layers and target[2] in house.LAYER_CLASSES and not named:
            faults.append(str(each))
    return faults


def frameworks_in_messages(root: Path) -> list[str]:
    """Sentences of the core that speak of one framework (the authors' own code may be named)."""
    words = ("torch", "keras", "tensorflow", "gluon", "mxnet", "trainer")
    faults = []
    for name, path in modules(root, [f"{house.CORE}/messages"]).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.lower()
                if any(word in text for word in words) and "official" not in text:
                    faults.append(f"{name}:{node.lineno} says {node.value!r}")
    return faults


def all_of(root: Path) -> dict[str, list[str]]:
    """Every kind of fault of the tree at ``root``."""
    found = imports(root, house.BELOW)
    return {
        "upward": upward(found),
        "hidden": hidden(found),
        "circles": [" <-> ".join(group) for group in in_circles(found)],
        "rooms": rooms(root),
        "named layers": named_layers(found),
        "frameworks in the core's messages": frameworks_in_messages(root),
    }
