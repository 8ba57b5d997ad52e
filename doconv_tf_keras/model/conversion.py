"""convert and fold: from plain convolutions to DO-Conv layers and back, function preserved."""

from __future__ import annotations

import logging
from typing import TypeVar

import tf_keras

from doconv_core import messages
from doconv_core.kernel.initialization import start_of
from doconv_core.model.folding import warn_if_D_is_left
from doconv_core.model.planning import Where, plan, warn_if_large
from doconv_keras.model.conversion import added_by
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.copying import copied
from doconv_tf_keras.layers.families import family_of
from doconv_tf_keras.layers.folding import check_foldable, fold_
from doconv_tf_keras.layers.nesting import check_tf_keras, everything, holders
from doconv_tf_keras.layers.swapping import check_changeable, over_parameterize
from doconv_tf_keras.model.training import (
    forget_traces,
    forget_variables,
    refuse_built_optimizer,
    warn_if_not_trained,
)
from doconv_tf_keras.model.walk import D_beyond_reach, candidates, over_parameterized

logger = logging.getLogger("doconv")

Model = TypeVar("Model", bound=tf_keras.layers.Layer)


def convert(
    model: Model,
    *,
    where: Where | None = None,
    D_mul: int | str | None = None,
    inplace: bool = False,
    max_kernel_elements: int | None = None,
    D_init: str = "identity",
    W_extra_init: str = "zeros",
) -> Model:
    """Over-parameterize the convolutions of a model; its output does not change by a bit.

    Every ``Conv{1,2,3}D``, ``DepthwiseConv{1,2}D``, ``SeparableConv{1,2}D`` and
    ``Conv{1,2,3}DTranspose`` with more than one kernel element becomes its DO-Conv layer, at any
    depth of nesting, and keeps its variables, name and flags. A subclass of one of these counts as
    it does if it has a constructor of its own and nothing more. What cannot be converted is left
    as it was; :func:`summary` gives the reasons. Converting twice changes nothing.

    A layer of your own that makes its convolutions itself makes plain ones when it is loaded from
    a ``.keras`` file, and tf_keras refuses to load D's into them: fold before saving such a model,
    or rebuild it, convert it again and load its weights.

    Args:
        model: a built model or layer; a single convolution too.
        where: which layers, e.g. a backbone's: ``where(name, layer)``, where a name is like
            "block/conv", or names of layers or of what holds them. None picks all. A layer with
            several names is picked if any of them is.
        D_mul: columns of W in every converted layer; None and "K" mean one per kernel element.
        inplace: change ``model`` itself, which works for every model. Otherwise a copy, not
            compiled, for which tf_keras must rebuild the model from its config. Either way D is
            made in the distribution strategy in whose scope the model was made.
        max_kernel_elements: leave kernels of more elements plain. D has I K S numbers, which for
            a 31 x 31 kernel is 961 times those of a depthwise layer's kernel.
        D_init: "identity", or "random" as in the paper's ablation; this one does NOT preserve the
            output, and says so. See :class:`doconv_tf_keras.DOConv2D`.
        W_extra_init: how columns beyond K start, "zeros" or "random", as the authors' do; then the
            kernel makes up for them, and the output is preserved to rounding.

    Returns:
        The converted model. Compile it before ``fit``, and anew whatever model holds it and was
        fitted before: of that one convert warns, and tf_keras refuses to go on. A ``tf.function``
        of your own that has called it before still computes the plain model.

    Raises:
        ValueError: D_mul is too small for a layer, a layer is not built, the root is a
            convolution that cannot be converted, the model cannot be copied, or (in place) its
            optimizer is already built and would not train D, or this is called from within a
            traced function or a strategy's ``run``. The model is then as it was.
        TypeError: not a layer or model of tf_keras.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), tf_keras.layers.Conv2D(4, 3)])
        >>> [type(layer).__name__ for layer in convert(model).layers]
        ['DOConv2D']
    """
    check_tf_keras(model)
    check_changeable(model)
    start = start_of(D_init, W_extra_init)
    if not inplace:
        model = copied(model)
    # First decide everything, so that an error leaves the model as it was.
    found = candidates(model)
    decided = plan(found, where, model, max_kernel_elements=max_kernel_elements)
    warn_if_large(*added_by(family_of, decided.chosen, model, D_mul))
    chosen = [each.layer for each in decided.chosen]
    if chosen:
        refuse_built_optimizer(model, tf_keras_messages.optimizer_is_built)
        over_parameterize(chosen, D_mul, start)
        changed = holders(model) if inplace else everything(model)
        forget_traces(changed)
        new = [variable for layer in chosen for variable in (layer.D, layer.W_extra)]
        warn_if_not_trained(changed, new)
    decided.report("convert", "over-parameterized", messages.model.NOTHING_CONVERTED)
    decided.warn_if_mostly_left()
    if chosen and start.D == "random":
        logger.warning(messages.model.random_start(len(chosen)))
    return model


def fold(model: Model, *, inplace: bool = False) -> Model:
    """Compose every DO-Conv layer once and give the plain model back: same classes and config.

    Args:
        model: a built model or layer; a single DO-Conv layer too.
        inplace: change ``model`` itself, writing each kernel into its kernel variable; a
            compiled model stays compiled, and so do the models that hold it; their optimizers
            forget the D's, so that their state fits the plain model's. A ``tf.function`` of your
            own that has called it before still predicts the same, but must not train it further.
            Otherwise a copy, not compiled; see :func:`convert`.

    Returns:
        The plain model. Folding it again changes nothing.

    Raises:
        ValueError: a variable is not finite, a kernel does not fit its type, a layer is not
            built or is of a subclass (so that its plain form is not known), the model cannot be
            copied, or this is called from within a traced function or a strategy's ``run``. The
            model is then as it was.
        TypeError: not a layer or model of tf_keras.

    Numerics: the kernel is composed in float64 and rounded once to the variable's type.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), tf_keras.layers.Conv2D(4, 3)])
        >>> [type(layer).__name__ for layer in fold(convert(model)).layers]
        ['Conv2D']
    """
    check_tf_keras(model)
    check_changeable(model)
    for name, layer in over_parameterized(model):
        check_foldable(name, layer)
    if not inplace:
        model = copied(model)
    layers = over_parameterized(model)
    kernels = [layer._kernel for _, layer in layers]
    dropped = [D for _, layer in layers for D in (layer.D, layer.W_extra) if D is not None]
    count = fold_(layers)
    if count:
        changed = holders(model) if inplace else everything(model)
        forget_traces(changed)
        forget_variables(changed, dropped, kernels)
    warn_if_D_is_left(count, D_beyond_reach(model), tf_keras_messages.LOADED)
    return model
