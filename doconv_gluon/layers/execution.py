"""What a hybridized network executes, where that is not what it shows.

Compiled composition is an operator in Python, which no exported graph may have. A HybridBlock keeps
its graph apart from what it makes of it for execution, so the two can differ: for the moment in
which a network with layers of ours makes the latter, the graph is another one.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from doconv_core.native import products
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors import native

_Block = mx.gluon.HybridBlock
_build = _Block._build_cache


@wraps(_build)
def _build_cache(block: Any, *args: Any) -> None:
    # A backend takes the graph itself for its own.
    if block._backend or not products.is_available() or not (_has_ours(block) and _on_cpus(block)):
        _build(block, *args)
        return
    shown = block._get_graph(*args)
    # Not all of the network's: a head may be there that nobody calls, whose shape stays unknown.
    names = set(shown[1].list_inputs())
    used = [p for p in block.collect_params().values() if p.name in names]
    if not all(mx.gluon.utils.shape_is_known(parameter.shape) for parameter in used):
        # The operator needs them. And so a network computes the same whether it knew its shapes
        # before its first batch, from a checkpoint say, or not.
        block._deferred_infer_shape(*args)
        for parameter in used:
            parameter._finish_deferred_init()
    block._cached_graph = ()
    try:
        with native.executed():
            _build(block, *args)
    finally:
        block._cached_graph = shown


def _has_ours(block: Any) -> bool:
    ours = getattr(block, "is_over_parameterized", False)
    return ours or any(map(_has_ours, block._children.values()))


def _on_cpus(block: Any) -> bool:
    # One graph serves all of a network's devices. Who has no values yet has no device either.
    parameters = block.collect_params().values()
    known = (p for p in parameters if p._data is not None or p._deferred_init)
    return all(native.on_cpu(context) for p in known for context in p.list_ctx())


def install() -> None:
    """Let every HybridBlock do so; MXNet 1.9.1, the last one, has no other seam."""
    _Block._build_cache = _build_cache
