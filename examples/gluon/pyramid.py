"""GluonCV's feature pyramids on CPUs, where MXNet's ROIAlign leaves memory as it is.

For each level GluonCV gives the boxes of other levels a batch index of -1, for which ROIAlign has
to return zeros. MXNet 1.9.1's does so on GPUs; on CPUs it sets one element, of some other box, and
does not write the rest (src/operator/contrib/roi_align.cc).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from doconv_gluon.model_zoo import gluoncv

FasterRCNN = gluoncv.model_zoo.rcnn.faster_rcnn.FasterRCNN


class OnCPUs(FasterRCNN):
    """Its levels are pooled of all boxes, and those of other levels are zeroed afterwards."""

    def _pyramid_roi_feats(self, F: Any, *arguments: Any, **options: Any) -> Any:
        # What GluonCV does with an MXNet that lacks these two, so let it see one.
        others = ("box_encode", "box_decode")
        contrib = {name: each for name, each in vars(F.contrib).items() if name not in others}
        F = SimpleNamespace(**{**vars(F), "contrib": SimpleNamespace(**contrib)})
        return super()._pyramid_roi_feats(F, *arguments, **options)


def on_cpus(net: Any) -> Any:
    """The same network, whose pyramid is right on CPUs; with what it holds."""
    if type(net) is FasterRCNN and net.num_stages > 1:
        net.__class__ = OnCPUs
    return net
