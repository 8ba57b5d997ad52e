"""The routing of CondConv: which mixture of experts an example gets."""

from __future__ import annotations

from typing import Any

from doconv_core.kernel.spec import positive_integer
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.kinds import as_classic, as_host


class Routing(mx.gluon.HybridBlock):
    """The mixture for each example: sigmoid(global average pool(x) R).

    One for several layers of a block, which then have ``routing=False`` and share its alpha; a
    CondConv layer with ``routing=True`` holds one of its own. Initialized as ``nn.Dense``.

    Args:
        num_experts: E.
        in_channels: I; 0 waits for the first input.
        use_bias: True adds one within the sigmoid, as the authors' program does; the paper's
            formula has none.
        axis: that of the channels, -1 for a layout like "NHWC".
        weight_initializer: of R.
        **kwargs: of every Block.

    Shape:
        - input: (N, I, *positions), of any spatial rank.
        - output, alpha: (N, E).
        - ``weight`` (R transposed): (E, I). ``bias``: (E,) or None.

    Raises:
        ValueError: a size is not allowed.
        TypeError: a size is not an integer.

    Source: arXiv 1904.04971, section 3.1.

    Example:
        >>> from doconv_gluon import CondConv2D, Routing
        >>> routing, layer = Routing(4), CondConv2D(32, 3, num_experts=4, routing=False)
        >>> routing.initialize()
        >>> layer.initialize()
        >>> x = mx.nd.ones((2, 16, 8, 8))
        >>> layer(x, routing(x)).shape
        (2, 32, 6, 6)
    """

    def __init__(
        self,
        num_experts: int,
        in_channels: int = 0,
        *,
        use_bias: bool = False,
        axis: int = 1,
        weight_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_experts = positive_integer("num_experts", num_experts)
        self.axis = axis
        in_channels = positive_integer("in_channels", in_channels) if in_channels else 0
        with self.name_scope():
            self.weight = self.params.get(
                "weight",
                shape=(self.num_experts, in_channels),
                init=weight_initializer,
                allow_deferred_init=True,
            )
            self.bias = None
            if use_bias:
                self.bias = self.params.get("bias", shape=(self.num_experts,), init="zeros")

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Alpha of a feature map."""
        x, weight, bias = map(as_classic, (x, weight, bias))
        pooled = F.mean(x, axis=(0, self.axis), exclude=True)
        logits = F.FullyConnected(
            pooled, weight, bias, no_bias=bias is None, num_hidden=self.num_experts
        )
        return as_host(F.sigmoid(logits))

    def __repr__(self) -> str:
        experts, channels = self.weight.shape
        shown = f"{channels if channels > 0 else None} -> {experts}"
        return f"Routing({shown})" if self.bias is None else f"Routing({shown}, bias)"
