"""DO-Conv at the optimizer: what ``doconv_torch.OptimizerDOConv`` adds to an optimizer's state.

The model beside it is plain. The optimizer has each D behind the parameters of its layer, and W and
D by the number of their weight.
"""

from __future__ import annotations

from typing import Any

from doconv_cli.files.formats.inert import Object
from doconv_cli.files.formats.torch_archive import Tensor, tensor_of
from doconv_cli.files.formats.training_state import Optimizer, Plan, names_of, pairs

_KEY = "doconv"


def are_factors(node: Any) -> bool:
    """Whether a dictionary is one weight's W and D, and no state dict."""
    if not isinstance(node, (dict, Object)):
        return False
    own = pairs(node)
    return own.keys() in ({"W", "D"}, {"W", "D", "W_extra"}) and all(map(tensor_of, own.values()))


def is_there(optimizer: Optimizer) -> bool:
    """Whether an optimizer over-parameterizes a plain model's training."""
    factors = pairs(optimizer.content).get(_KEY)
    return (
        isinstance(factors, dict)
        and bool(factors)
        and factors.keys() <= set(optimizer.numbers)
        and all(map(are_factors, factors.values()))
    )


def factors_of(optimizer: Optimizer) -> list[Any]:
    """The dictionaries of W and D in it."""
    return list(pairs(optimizer.content)[_KEY].values())


def plans(optimizer: Optimizer) -> list[Plan]:
    """What it is without D: none where one's D cannot be found in it."""
    gone: set[Any] = set()
    for weight, node in pairs(optimizer.content)[_KEY].items():
        own = pairs(node)
        found = _beside(optimizer, weight, tensor_of(own["D"]), len(own) - 1)
        if not found:
            return []
        gone.update(found)
    return [optimizer.without(gone)]


def forget(optimizer: Optimizer) -> None:
    """Leave W and D out."""
    del pairs(optimizer.content)[_KEY]


def _beside(optimizer: Optimizer, weight: Any, D: Tensor | None, count: int) -> list[Any]:
    """The numbers of a weight's D and W_extra, which stand behind it or behind its bias."""
    group = next(group for group in optimizer.groups if weight in group["params"])
    params, names = group["params"], names_of(group)
    at = params.index(weight)
    if names:
        name = names[at].removesuffix("weight") + "D"
        return params[names.index(name) :][:count] if name in names else []
    for i in range(at + 1, min(at + 3, len(params))):
        # A weight and its D have both had gradients, or neither.
        alike = (params[i] in optimizer.state) == (weight in optimizer.state)
        if alike and optimizer.shape(params[i]) in (None, D and D.shape):
            return params[i:][:count]
    return []
