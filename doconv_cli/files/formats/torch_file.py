"""PyTorch's checkpoints: every state dict in whatever ``torch.save`` was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from doconv_cli.files import messages as format_messages
from doconv_cli.files.errors import UsageError
from doconv_cli.files.formats import at_optimizer, torch_archive
from doconv_cli.files.formats.array_file import ArrayFile, Other, Stored, Written, own_keys
from doconv_cli.files.formats.harmless import is_harmless
from doconv_cli.files.formats.inert import DamagedError, Global, Object
from doconv_cli.files.formats.torch_archive import Tensor, tensor_of, walk
from doconv_cli.files.formats.training_state import (
    Change,
    Optimizer,
    Plan,
    find_optimizers,
    other_states,
    pairs,
    parameters,
)
from doconv_cli.files.layers.arrays import names_an_array
from doconv_cli.files.layers.entries import Content, Entry
from doconv_cli.files.layers.layers import DOLayer, Layer
from doconv_cli.text import counted
from doconv_core import messages


@dataclass(frozen=True)
class TensorEntry(Entry):
    """An array in a file, and the pickle's node of it with what is said beside its values."""

    node: Any = None
    location: str = "cpu"


class TorchFile(ArrayFile):
    """What ``torch.save`` wrote: a state dict, or anything with state dicts in it.

    Nothing in the file is run: its pickle is read as data, and everything that is not a layer's
    array is written again as it was. If there are several state dicts with convolutions, a layer's
    name starts with the place of its own: ``model_ema/conv1``, ``nets/G/conv1``.
    """

    separators = "./"
    source = "torch"

    def read(self, path: Path) -> dict[str, Stored]:
        try:
            self._archive = torch_archive.read(path, self.options.limits)
            tree = self._archive.tree
            check_objects(tree, self.options.allowed)
            self._sections, self.sections = _sections(tree)
            self.optimizers = find_optimizers(tree)
            there = [each for each in self.optimizers if at_optimizer.is_there(each)]
            self.at_optimizer = [each.path for each in there]
            self.apart = _apart(tree, there)
            self.nameless = _nameless(tree)
        except DamagedError as fault:
            raise ValueError(messages.files.bad_file(path, str(fault))) from fault
        if not isinstance(tree, (dict, list, tuple, Object)) or tensor_of(tree):
            raise ValueError(messages.files.bad_file(path, format_messages.NO_DICT))
        self.recorded = {
            prefix + name: bool(record["transposed"])
            for prefix, section in self._sections.items()
            for name, record in _records(section)
        }
        stored: dict[str, Stored] = {}
        self._homes: dict[str, str] = {}
        for prefix, section in self._sections.items():
            for key, node in pairs(section).items():
                if prefix + str(key) in stored:
                    twice = f"it has two arrays {prefix + str(key)!r}"
                    raise ValueError(messages.files.bad_file(path, twice))
                stored[prefix + str(key)] = self._stored(node)
                self._homes[prefix + str(key)] = prefix
        return stored

    def write(self, contents: list[Written], temporary: Path) -> None:
        sections = {prefix: dict[str, Any]() for prefix in self._sections}
        new: dict[str, Content] = {}
        for key, content, origin in contents:
            prefix = self._homes[origin]
            if isinstance(content, (Other, TensorEntry)):
                node = content.node
            else:
                node, storage = torch_archive.new_tensor(content, self._location(origin))
                new[storage.pid[2]] = content
            sections[prefix][key.removeprefix(prefix)] = node
        for prefix, section in self._sections.items():
            own = pairs(section)
            own.clear()
            own.update(sections[prefix])
        try:
            torch_archive.write(self._archive, new, temporary)
        except DamagedError as fault:
            raise ValueError(messages.files.bad_file(self.path, str(fault))) from fault

    def unplaced(self, layers: Iterable[Layer]) -> list[str]:
        layers = list(layers)
        shapes = {layer.arrays["D"].shape for layer in layers if _has_D(layer)}
        lists = [
            path
            for path, tensors in self.nameless.items()
            if any(tensor.shape in shapes for tensor in tensors)
        ]
        return [*super().unplaced(layers), *lists, *self.apart]

    def prepare(
        self, contents: list[Written], changes: list[tuple[Layer, dict[str, Content | str]]]
    ) -> None:
        places = self._sections if changes and not self.options.drop_optimizer else ()
        in_sections = [self._change_in(prefix, contents, changes) for prefix in places]
        for optimizer in self.optimizers:
            self.notes.append(self._change(optimizer, in_sections))
        others = other_states(self._archive.tree)
        self.notes.extend(f"{what} {path!r}: as it was" for path, what in others.items())

    def _change_in(
        self,
        prefix: str,
        contents: list[Written],
        changes: list[tuple[Layer, dict[str, Content | str]]],
    ) -> Change:
        """What becomes of one state dict's parameters."""

        def parameters_in(every: Iterable[Written]) -> dict[str, tuple[int, ...]]:
            return parameters(
                (short(key), content.shape)
                for key, content, origin in every
                if self._homes[origin] == prefix and not isinstance(content, Other)
            )

        def short(key: str) -> str:
            return key.removeprefix(prefix)

        own = [(x, new) for x, new in changes if self._homes[own_keys(x)[0]] == prefix]
        return Change(
            before=parameters_in(Written(key, each, key) for key, each in self.contents.items()),
            after=parameters_in(contents),
            weights={short(own_keys(x)[0]): short(x.weight) for x, _ in own},
            added={short(key): short(x.weight) for x, new in own for key in new if key != x.weight},
        )

    def _change(self, optimizer: Optimizer, changes: list[Change]) -> str:
        """Make an optimizer fit the new parameters; what to say of it."""
        named = f"optimizer {optimizer.path!r}"
        if self.options.drop_optimizer:
            self._drop(optimizer)
            return f"{named}: left out"
        before = len(optimizer.numbers)
        if at_optimizer.is_there(optimizer):
            self._follow(optimizer, at_optimizer.plans(optimizer))
            at_optimizer.forget(optimizer)
        if changes:
            self._follow(optimizer, [p for change in changes for p in optimizer.plans(change)])
        after = len(optimizer.numbers)
        if before == after:
            return f"{named}: as it was"
        what = "removed" if after < before else "added"
        return (
            f"{named}: {counted(abs(after - before), 'parameter')} of D {what}, the others "
            "renumbered, with their momenta"
        )

    def _follow(self, optimizer: Optimizer, plans: list[Plan]) -> None:
        """Change an optimizer, if all that may become of it is the same."""
        written = {
            tuple(tuple(place.number for place in group) for group in plan): plan for plan in plans
        }
        if len(written) != 1:
            raise UsageError(
                f"optimizer {optimizer.path!r} of {str(self.path)!r} has "
                f"{counted(len(optimizer.numbers), 'parameter')}, and neither names nor the sizes "
                "of their momenta tell which are of the layers that change; pass --drop-optimizer "
                "to leave it out"
            )
        optimizer.follow(written.popitem()[1])

    def _drop(self, optimizer: Optimizer) -> None:
        if optimizer.content is self._archive.tree:
            raise UsageError(f"{str(self.path)!r} is an optimizer's state and nothing else")
        for _, node in walk(self._archive.tree):
            if isinstance(node, (dict, Object)):
                own = pairs(node)
                for key in [key for key, value in own.items() if value is optimizer.content]:
                    del own[key]
            elif isinstance(node, list) and any(item is optimizer.content for item in node):
                node[:] = [item for item in node if item is not optimizer.content]

    def _stored(self, node: Any) -> Stored:
        tensor = tensor_of(node)
        if tensor is None:
            return Other(node)
        entry = self._archive.entry(tensor)
        held = 1
        for size in tensor.shape:
            held *= size
        if held > tensor.storage.size:  # the same numbers again and again
            return Other(
                node, f"{'x'.join(map(str, tensor.shape))} from {tensor.storage.size} numbers"
            )
        return TensorEntry(
            entry.dtype, entry.shape, entry.source, entry.offset, entry.nbytes, entry.strides,
            node, tensor.storage.location,
        )  # fmt: skip

    def _location(self, key: str) -> str:
        entry = self.contents[key]
        return entry.location if isinstance(entry, TensorEntry) else "cpu"


def check_objects(tree: Any, allowed: frozenset[str]) -> None:
    """Raise DamagedError for the first object that is neither harmless nor allowed."""
    for path, node in walk(tree):
        if isinstance(node, Global) and not is_harmless(node, allowed):
            raise DamagedError(format_messages.other_object(str(node), path))


def _has_D(layer: Layer) -> TypeGuard[DOLayer]:
    return isinstance(layer, DOLayer) and "D" in layer.arrays


def _records(section: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """What torch and this library note of each module, beside a state dict."""
    state = section.state[0] if isinstance(section, Object) and section.state else {}
    noted = state.get("_metadata") if isinstance(state, dict) else None
    if isinstance(noted, Object):
        noted = noted.pairs
    if isinstance(noted, dict):
        for name, record in noted.items():
            if isinstance(name, str) and isinstance(record, dict) and "transposed" in record:
                yield name, record


def _sections(tree: Any) -> tuple[dict[str, Any], list[str]]:
    """The state dicts with convolutions, by what their layers' names start with; their places."""
    found: dict[str, Any] = {}
    for path, node in walk(tree):
        if at_optimizer.are_factors(node):
            continue
        if isinstance(node, (dict, Object)) and _is_state_dict(pairs(node)):
            prefix = f"{path}/" if path else ""
            while prefix in found:  # names can be such that two places read the same
                prefix += "/"
            found[prefix] = node
    places = [prefix.removesuffix("/") for prefix in found]
    if len(found) == 1:
        return {"": found.popitem()[1]}, places
    return found, places


def _is_state_dict(pairs: dict[Any, Any]) -> bool:
    for key, node in pairs.items():
        if isinstance(key, str) and names_an_array(key):
            tensor = tensor_of(node)
            if tensor is not None and len(tensor.shape) >= 3:
                return True
    return False


def _apart(tree: Any, known: list[Optimizer]) -> list[str]:
    """Where W and D are that were saved from an optimizer, but not with it."""
    inside = {id(node) for each in known for node in at_optimizer.factors_of(each)}
    return [
        f"{path}/D"
        for path, node in walk(tree)
        if at_optimizer.are_factors(node) and id(node) not in inside
    ]


def _nameless(tree: Any) -> dict[str, list[Tensor]]:
    """Lists of tensors: nothing tells which parameters they are of."""
    found: dict[str, list[Tensor]] = {}
    for path, node in walk(tree):
        items = node.items if isinstance(node, Object) else node
        if isinstance(items, (list, tuple)):
            tensors = [tensor for tensor in map(tensor_of, items) if tensor is not None]
            if len(tensors) > 1:
                found[path] = tensors
    return found
