"""``doconv inspect --plot``: what training made of D, and what D makes of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doconv_cli.files.errors import UsageError
from doconv_cli.files.layers.composing import raw
from doconv_cli.files.layers.entries import RAW, Array, Content, widened
from doconv_cli.files.layers.layers import DOLayer, Layer, OfficialDOLayer
from doconv_cli.text import printable
from doconv_core.files.atomic import replacing

_IMAGES = 16
"""Input channels whose D is drawn."""

_SAMPLE = 100_000
"""Kernel elements of a layer that go into its histogram."""


def draw(layers: Sequence[Layer], out: Path, title: str) -> None:
    """Draw the DO-Conv layers of a file.

    Above, how far each layer's D is from the identity. Below, the layer where it is farthest: D of
    its first input channels, an image of K rows and S columns each, and how much the kernel's
    elements differ from W's.

    Args:
        layers: the file's convolutions.
        out: a picture of a format that matplotlib writes.
        title: above all.

    Raises:
        UsageError: there is no layer with a D, or the name's end is of no picture.
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise ImportError("--plot needs the package matplotlib: pip install matplotlib") from fault
    ours = [layer for layer in layers if isinstance(layer, DOLayer) and layer.spec.has_D]
    if not ours:
        raise UsageError("--plot: there is no layer with a D")
    figure = Figure(figsize=(11, 8), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    kinds = canvas.get_supported_filetypes()
    if out.suffix.lower().lstrip(".") not in kinds:
        raise UsageError(f"--plot: the name of {str(out)!r} must end in one of {', '.join(kinds)}")
    offsets = [layer.offset for layer in ours]
    farthest = ours[int(np.nanargmax(np.nan_to_num(offsets)))]
    figure.suptitle(printable(title), parse_math=False)
    parts: Any = figure.subfigures(2, 1, height_ratios=[1, 1.2])
    above, below = parts

    bars = above.subplots()
    bars.bar(range(len(ours)), np.nan_to_num(offsets))
    bars.set_ylabel("|D| / |identity|")
    names = [_short(layer.name) for layer in ours]
    turned = {"rotation": 90, "fontsize": 7} if len(names) > 6 else {}
    bars.set_xticks(range(len(names)), names, parse_math=False, **turned)

    left, right = below.subfigures(1, 2, width_ratios=[1.3, 1])
    name = _short(farthest.name)
    left.suptitle(f"D of {name}, by input channel", parse_math=False, fontsize=10)
    D = _D(farthest)[:_IMAGES].astype(np.float64)
    span = float(np.abs(np.nan_to_num(D)).max()) or 1.0
    columns = int(np.ceil(np.sqrt(len(D))))
    images = left.subplots(-(-len(D) // columns), columns, squeeze=False)
    for axes in images.flat:
        axes.set_axis_off()
    for axes, image in zip(images.flat, D, strict=False):
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-span, vmax=span)
    left.colorbar(shown, ax=list(images.flat), shrink=0.8)

    histogram = right.subplots()
    change = _change(farthest)
    histogram.hist(change[np.isfinite(change)], bins=60)
    histogram.set_xlabel(f"kernel minus W, {name}", parse_math=False)
    histogram.set_ylabel("elements")
    histogram.set_yscale("log")
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=120)


def _short(name: str) -> str:
    name = printable(name) or "(root)"
    return name if len(name) <= 30 else "..." + name[-27:]


def _D(layer: DOLayer) -> Array:
    if isinstance(layer, OfficialDOLayer):
        D = layer.load().D
        assert D is not None
        return D
    return _numbers(layer.arrays["D"])


def _change(layer: DOLayer) -> Array:
    """The kernel's elements minus W's where the identity has them, some of a large layer."""
    if isinstance(layer, OfficialDOLayer):
        own = layer.load()
        change = own.kernel("float64") - own.W[..., : layer.spec.K]
    else:
        (made,) = layer.plain("float64").values()
        assert not isinstance(made, str)
        change = raw(made) - _numbers(layer.arrays["weight"])
    flat: Array = change.reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLE)]


def _numbers(content: Content) -> Array:
    assert content.dtype in RAW
    return widened(raw(content), content.dtype)
