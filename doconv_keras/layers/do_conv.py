"""What a DO-Conv layer is in both Keras's: its sizes, its kernel, and the way to and fro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from doconv_core import DOConvSpec, messages
from doconv_keras.layers import sizes
from doconv_keras.tensors.composition import Ops, compose


class Seams(NamedTuple):
    """What the shared part of a layer takes from its adapter.

    Attributes:
        ops: the operations.
        copied: a copy of a layer.
        folded_copy: one that is plain.
        over_parameterize: changes plain layers in place.
        why_plain: why a convolution has to stay plain; "" where it need not.
        refuse: raises TypeError for what belongs to the other Keras.
    """

    ops: Ops
    copied: Callable[[Any], Any]
    folded_copy: Callable[[Any], Any]
    over_parameterize: Callable[[list[Any], int | str | None], None]
    why_plain: Callable[[Any], str]
    refuse: Callable[[Any], None]


class OverParameterized:
    """The shared part of a DO-Conv layer. Precedes the host class in the order of resolution."""

    seams: ClassVar[Seams]

    host: ClassVar[Any]
    """The class of the framework's layers that this layer converts from and folds to."""

    layout: ClassVar[str]
    """Where the kernel's channel axes are, see :mod:`doconv_core.kernel.layout`."""

    kernel_name: ClassVar[str] = "kernel"
    """The attribute in which the host keeps its kernel, and its ``call`` reads it."""

    role: ClassVar[str] = "kernel"
    """What the host's arguments for this kernel begin with: kernel_ or depthwise_."""

    spec: DOConvSpec
    """The layer's sizes, known once it is built."""

    is_over_parameterized = True

    def remake_(self, theirs: Any) -> None:
        """Make a plain layer what this one is, in a copy of a model."""
        if type(theirs) is self.host:
            self.seams.over_parameterize([theirs], self.D_mul)
            theirs.composition = self.composition

    @classmethod
    def spec_of(cls, layer: Any, D_mul: int | str | None = None) -> DOConvSpec:
        """The sizes of a built layer, of this class or of its host."""
        return sizes.spec_of(cls.layout, cls.W_of(layer).shape, layer, D_mul)

    @classmethod
    def W_of(cls, layer: Any) -> Any:
        """The kernel variable of a built layer, of this class or of its host."""
        state = vars(layer)
        return state["_kernel"] if "_kernel" in state else state[cls.kernel_name]

    @property
    def kernel(self) -> Any:
        """The composed kernel, in the host's layout and in the compute dtype. W is ``_kernel``.

        Numerics: composed in the variables' precision, then rounded once, as autocast rounds the
        kernel of the folded layer.
        """
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        if self.D is None:
            return self._kernel
        W = self._uncast_W()
        return self._computed(
            compose(self.seams.ops, self.spec, self.layout, W, self.W_extra, self.D)
        )

    @kernel.setter
    def kernel(self, W: Any) -> None:  # which hosts assign in build
        self._keep_W(W)

    def get_config(self) -> dict[str, Any]:
        """The host's arguments and ours."""
        return {**super().get_config(), "D_mul": self.D_mul, "composition": self.composition}

    @classmethod
    def from_conv(cls, conv: Any, *, D_mul: int | str | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a built layer of exactly this class's host, e.g. ``Conv2D`` for ``DOConv2D``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the variables, same arguments and name.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept (LoRA, a replaced call, ...), it is not built, or
                D_mul < K.
        """
        if type(conv) is not cls.host:
            cls.seams.refuse(conv)
            raise TypeError(messages.layer.wrong_type("conv", conv, f"a {cls.host.__name__}"))
        if (reason := cls.seams.why_plain(conv)) not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert(conv.name, type(conv).__name__, reason))
        if not conv.built:
            raise ValueError(messages.model.uninitialized(conv.name, type(conv).__name__))
        cls.spec_of(conv, D_mul)
        layer = cls.seams.copied(conv)
        cls.seams.over_parameterize([layer], D_mul)
        return layer

    def fold(self) -> Any:
        """The plain layer that computes the same: new, of the host class; this one stays.

        Raises:
            ValueError: a variable is not finite, or the layer is not built.
        """
        return self.seams.folded_copy(self)
