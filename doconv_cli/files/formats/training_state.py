"""Optimizers' states in a checkpoint: which entry is of which parameter, and changing both alike.

``torch.optim`` numbers parameters in the order in which it was given them; torch.distributed names
them. Most files do not tell the numbers' order, so it is looked for: the model's own; with every D
at the end, as ``convert(..., optimizer=...)`` adds them; with biases and norms in a group of their
own, as people leave weight decay out for them. The sizes of momenta decide. Where only D's go, and
no momentum of another parameter has their sizes, the order of the others does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doconv_cli.files.formats.inert import Object
from doconv_cli.files.formats.torch_archive import tensor_of, walk
from doconv_cli.files.layers.arrays import looks_like_D

_BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "d_diag", "D_diag"}

Shapes = Mapping[str, tuple[int, ...]]
"""Of a model's parameters, in its order, by key."""


@dataclass
class Optimizer:
    """One optimizer's state.

    Attributes:
        path: where it is in the file.
        content: its dictionary, with "state" and "param_groups".
    """

    path: str
    content: Any

    @property
    def groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = pairs(self.content)["param_groups"]
        return groups

    @property
    def state(self) -> dict[Any, Any]:
        return pairs(pairs(self.content)["state"])

    @property
    def numbers(self) -> list[Any]:
        """Its parameters' numbers, or names, in its order."""
        return [number for group in self.groups for number in group["params"]]

    def order(self, parameters: Shapes) -> list[str] | None:
        """The keys of its parameters, in its order; None where no known order fits."""
        if len(parameters) != len(self.numbers):
            return None
        said = self._said(parameters)
        if said is not None:
            return said if self._fits(said, parameters) else None
        known = any(self._shape(number) for number in self.numbers)
        if any(isinstance(number, str) for number in self.numbers) or (
            len(self.groups) > 1 and not known
        ):
            return None
        orders = [
            list(parameters),
            sorted(parameters, key=lambda key: looks_like_D(key, "./")),
            sorted(parameters, key=lambda key: len(parameters[key]) < 2),
            sorted(parameters, key=lambda key: len(parameters[key]) >= 2),
        ]
        return next((keys for keys in orders if self._fits(keys, parameters)), None)

    def order_without(self, before: Shapes, after: Shapes) -> list[str] | None:
        """An order in which only the keys that go stand for certain; None where that is not known.

        Args:
            before: the parameters.
            after: those that stay; in the result a text that is no key stands for each.
        """
        gone: dict[tuple[int, ...] | None, list[str]] = {}
        for key, shape in before.items():
            if key not in after:
                gone.setdefault(shape, []).append(key)
        found = Counter(map(self._shape, self.numbers))
        if (
            len(before) != len(self.numbers)
            or any(isinstance(number, str) for number in self.numbers)
            or not after.items() <= before.items()
            or any(found[shape] != len(keys) for shape, keys in gone.items())
        ):
            return None
        return [
            gone[shape].pop(0) if shape in gone else f"\0{number}"
            for number, shape in zip(self.numbers, map(self._shape, self.numbers), strict=True)
        ]

    def together(self, keys: Sequence[str], one: str, other: str) -> bool:
        """Whether two parameters are in one group, in the order of :meth:`order`."""
        index = [i for i, group in enumerate(self.groups) for _ in group["params"]]
        return index[keys.index(one)] == index[keys.index(other)]

    def change(self, keys: Sequence[str], new: Mapping[str, Sequence[str]], shapes: Shapes) -> None:
        """Renumber its parameters, without the states of those that are no more.

        Args:
            keys: what :meth:`order` or :meth:`order_without` gave.
            new: a key to the keys in its place; one that is not there stays.
            shapes: of the new parameters. A state of other sizes is turned, or left out.
        """
        key_of = dict(zip(self.numbers, keys, strict=True))
        state, after = self.state, dict[Any, Any]()
        count = 0
        empty = {id(group) for group in self.groups if not group["params"]}
        for group in self.groups:
            numbers, names = [], []
            for old in group["params"]:
                for key in new.get(key_of[old], (key_of[old],)):
                    its_own = key == key_of[old] or key.endswith("weight")
                    shape = self._shape(old)
                    if its_own and old in state and shape in (None, shapes.get(key, shape)):
                        after[key if isinstance(old, str) else count] = state[old]
                    numbers.append(key if isinstance(old, str) else count)
                    names.append(key)
                    count += 1
            group["params"] = numbers
            if "param_names" in group:
                group["param_names"] = names
        # Nobody gives a plain model's optimizer the empty group that D's of their own leave.
        self.groups[:] = [group for group in self.groups if group["params"] or id(group) in empty]
        state.clear()
        state.update(after)

    def _said(self, parameters: Shapes) -> list[str] | None:
        """The order by names, which optimizers built from named parameters keep."""
        names = [
            name
            for group in self.groups
            for name in group.get("param_names") or group["params"] or [None]
        ]
        return names if names and all(name in parameters for name in names) else None

    def _fits(self, keys: Sequence[str], parameters: Shapes) -> bool:
        return all(
            shape in (None, parameters[key])
            for key, shape in zip(keys, map(self._shape, self.numbers), strict=True)
        )

    def _shape(self, number: int) -> tuple[int, ...] | None:
        """Of a parameter's momenta; None where it has none."""
        entry = self.state.get(number)
        if not isinstance(entry, (dict, Object)):
            return None
        tensors = (tensor_of(value) for value in pairs(entry).values())
        shapes = {tensor.shape for tensor in tensors if tensor is not None and tensor.shape}
        return shapes.pop() if len(shapes) == 1 else None


def find_optimizers(tree: Any) -> list[Optimizer]:
    """Every optimizer's state in a file."""
    return [Optimizer(path, node) for path, node in walk(tree) if _is_optimizer(node)]


def other_states(tree: Any) -> dict[str, str]:
    """What else training keeps, by the keys that people give it: path to what it is."""
    known = {"scheduler": "scheduler", "lr_scheduler": "scheduler", "lr_schedulers": "scheduler",
             "scaler": "gradient scaler", "amp_scaler": "gradient scaler"}  # fmt: skip
    return {
        path: known[path.rpartition("/")[2]]
        for path, node in walk(tree)
        if path.rpartition("/")[2] in known and isinstance(node, (dict, list, Object))
    }


def parameters(section: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Those of a state dict's arrays that are no buffers."""
    return {key: shape for key, shape in section if key.rpartition(".")[2] not in _BUFFERS}


def pairs(node: Any) -> dict[Any, Any]:
    """What a dictionary, or a node of a class of them, holds by key."""
    return node.pairs if isinstance(node, Object) else node


def _is_optimizer(node: Any) -> bool:
    if not isinstance(node, (dict, Object)):
        return False
    own = pairs(node)
    groups, state = own.get("param_groups"), own.get("state")
    return (
        isinstance(state, (dict, Object))
        and isinstance(groups, list)
        and all(isinstance(group, dict) and _are_numbers(group.get("params")) for group in groups)
    )


def _are_numbers(params: Any) -> bool:
    return isinstance(params, list) and all(type(number) in (int, str) for number in params)
