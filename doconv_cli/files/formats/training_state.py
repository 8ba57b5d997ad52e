"""Optimizers' states in a checkpoint: which entry is of which parameter, and changing both alike.

``torch.optim`` numbers parameters in the order in which it was given them; torch.distributed names
them. Most files do not tell the numbers' order, so it is looked for: the model's own; with every D
at the end; with biases and norms in a group of their own, as people leave weight decay out for
them. The sizes of momenta decide which it may be, and all that it may be must come to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from doconv_cli.files.formats.inert import Object
from doconv_cli.files.formats.torch_archive import tensor_of, walk
from doconv_cli.files.layers.arrays import looks_like_D

_BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "d_diag", "D_diag"}

Shapes = Mapping[str, tuple[int, ...]]
"""Of a model's parameters, in its order, by key."""

_GOES = "goes"


@dataclass(frozen=True)
class Change:
    """What becomes of a model's parameters.

    Attributes:
        before: the parameters.
        after: the new ones.
        weights: of the layers that change, key before to key after.
        added: other parameters that these layers get, each with the key of its weight after.
    """

    before: Shapes
    after: Shapes
    weights: Mapping[str, str]
    added: Mapping[str, str]

    def heir(self, key: str) -> str | None:
        """What takes a parameter's place; None for one that goes."""
        if key in self.weights:
            return self.weights[key]
        return key if key in self.after and key not in self.added else None

    @property
    def only_removes(self) -> bool:
        """Whether those that stay keep their sizes and their order."""
        stay = [(self.heir(key), shape) for key, shape in self.before.items() if self.heir(key)]
        return stay == list(self.after.items())

    @cached_property
    def kinds(self) -> dict[str, str]:
        """What makes parameters differ from others of their sizes, by key.

        They go, or grow another one behind them or behind their bias, or turn about with it.
        """
        kinds = {key: _GOES for key in self.before if self.heir(key) is None}
        growing = set(self.added.values())
        old, new = _positions(self.before), _positions(self.after)
        for key, heir in self.weights.items():
            bias = heir.removesuffix("weight") + "bias"
            if heir in growing:
                kinds |= {key: "grows", bias: "grows, or its weight"}
            elif bias in old and old[bias] < old[key] and new[heir] < new[bias]:
                kinds |= {key: "turns", bias: "turns, with its weight"}
        return kinds


class Place(NamedTuple):
    """One parameter in an optimizer's new order."""

    key: str
    """Its key; "" where that is not known."""
    number: Any
    """Whose state it goes on with; None for none."""


Plan = list[list[Place]]
"""An optimizer's new parameters, by group."""


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

    def plans(self, change: Change) -> list[Plan]:
        """What a model's change may make of it: none where it cannot be that model's."""
        return [self._planned(keys, change) for keys in self._orders(change)]

    def follow(self, plan: Plan) -> None:
        """Renumber its parameters, without the states of those that are no more."""
        state, after = self.state, dict[Any, Any]()
        count = 0
        empty = {id(group) for group in self.groups if not group["params"]}
        for group, places in zip(self.groups, plan, strict=True):
            named = any(isinstance(number, str) for number in group["params"])
            numbers: list[Any] = []
            for key, old in places:
                if old is not None:
                    after[key if isinstance(old, str) else count] = state[old]
                numbers.append(key if named else count)
                count += 1
            if names_of(group):
                group["param_names"] = [place.key for place in places]
            group["params"] = numbers
        # Nobody gives a plain model's optimizer the empty group that D's of their own leave.
        self.groups[:] = [group for group in self.groups if group["params"] or id(group) in empty]
        state.clear()
        state.update(after)

    def without(self, numbers: set[Any]) -> Plan:
        """What it is without some of its parameters."""
        plan: Plan = []
        for group in self.groups:
            names = names_of(group) or [""] * len(group["params"])
            every = zip(names, group["params"], strict=True)
            plan.append([self._place(name, n) for name, n in every if n not in numbers])
        return plan

    def shape(self, number: Any) -> tuple[int, ...] | None:
        """Of a parameter's momenta; None where it has none."""
        entry = self.state.get(number)
        if not isinstance(entry, (dict, Object)):
            return None
        tensors = (tensor_of(value) for value in pairs(entry).values())
        shapes = {tensor.shape for tensor in tensors if tensor is not None and tensor.shape}
        return shapes.pop() if len(shapes) == 1 else None

    def _orders(self, change: Change) -> list[list[str]]:
        """The keys of its parameters, in every order that may be its own."""
        parameters = change.before
        if len(parameters) != len(self.numbers):
            return []
        said = self._said(parameters)
        if said is not None:
            return [said] if self._fits(said, parameters) else []
        if any(isinstance(number, str) for number in self.numbers):
            return []
        told = self._sizes_tell(change)
        # A group may be of any parameters, so that an order which fits may do so by accident.
        if not told and sum(bool(group["params"]) for group in self.groups) > 1:
            return []
        orders = [
            list(parameters),
            sorted(parameters, key=lambda key: looks_like_D(key, "./")),
            sorted(parameters, key=lambda key: len(parameters[key]) < 2),
            sorted(parameters, key=lambda key: len(parameters[key]) >= 2),
        ]
        fitting = [keys for keys in orders if self._fits(keys, parameters)]
        if not fitting and told and change.only_removes:
            return [self._by_sizes(change)]
        return fitting

    def _planned(self, keys: Sequence[str], change: Change) -> Plan:
        """Its new parameters, if these are the old ones' keys."""
        key_of = dict(zip(self.numbers, keys, strict=True))
        old, new = _positions(change.before), _positions(change.after)
        plan: Plan = []
        for group in self.groups:
            places: list[Place] = []
            last = ""
            for number in group["params"]:
                own = key_of[number]
                key = change.heir(own) if own else ""
                if key is None:
                    continue
                shape = self.shape(number)
                fits = shape in (None, change.after.get(key, shape))
                place = self._place(key, number) if fits else Place(key, None)
                # A parametrized layer has its bias first, a plain one its weight.
                turned = last and old[last] < old[own] and new[places[-1].key] > new[key]
                places.insert(len(places) - 1 if turned else len(places), place)
                last = own
            here = {place.key for place in places}
            for key, weight in change.added.items():
                if weight in here:  # behind what it follows in the model
                    known = [(new[p.key], i) for i, p in enumerate(places) if new[p.key] < new[key]]
                    places.insert(max(known)[1] + 1, Place(key, None))
            plan.append(places)
        return plan

    def _place(self, key: str, number: Any) -> Place:
        return Place(key, number if number in self.state else None)

    def _said(self, parameters: Shapes) -> list[str] | None:
        """The order by names, which optimizers built from named parameters keep."""
        names = [
            name for group in self.groups for name in names_of(group) or group["params"] or [None]
        ]
        return names if names and all(name in parameters for name in names) else None

    def _fits(self, keys: Sequence[str], parameters: Shapes) -> bool:
        return all(
            shape in (None, parameters[key])
            for key, shape in zip(keys, map(self.shape, self.numbers), strict=True)
        )

    def _sizes_tell(self, change: Change) -> bool:
        """Whether the sizes of its momenta alone say which parameters go, or change otherwise.

        Biases may be as large as others if all of them are in one group.
        """
        kinds: dict[tuple[int, ...], list[str]] = {}
        for key, shape in change.before.items():
            kinds.setdefault(shape, []).append(change.kinds.get(key, ""))
        places: dict[tuple[int, ...] | None, list[int]] = {}
        for i, group in enumerate(self.groups):
            for number in group["params"]:
                places.setdefault(self.shape(number), []).append(i)
        return all(
            len(places.get(shape, ())) == len(own)
            and (len(set(own)) == 1 or (len(shape) < 2 and len(set(places[shape])) == 1))
            for shape, own in kinds.items()
            if any(own)
        )

    def _by_sizes(self, change: Change) -> list[str]:
        """The keys of the parameters that go; "" for each that stays."""
        gone: dict[tuple[int, ...] | None, list[str]] = {}
        for key, shape in change.before.items():
            if change.kinds.get(key) == _GOES:
                gone.setdefault(shape, []).append(key)
        shapes = map(self.shape, self.numbers)
        return [gone[shape].pop() if shape in gone else "" for shape in shapes]


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


def names_of(group: Mapping[str, Any]) -> list[str]:
    """What an optimizer that was built from named parameters calls those of a group; else []."""
    names = group.get("param_names")
    if not isinstance(names, list) or len(names) != len(group["params"]):
        return []
    return names if all(isinstance(name, str) for name in names) else []


def pairs(node: Any) -> dict[Any, Any]:
    """What a dictionary, or a node of a class of them, holds by key."""
    return node.pairs if isinstance(node, Object) else node


def _positions(keys: Iterable[str]) -> dict[str, int]:
    return {key: i for i, key in enumerate(keys)}


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
