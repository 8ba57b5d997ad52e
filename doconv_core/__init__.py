"""DO-Conv without a framework: sizes, initialization, composition, folding and cost, in NumPy.

Everything the adapters (``doconv_torch``, ``doconv_tf``, ``doconv_gluon``) have in common is
here; this package imports none of them.
"""

import sys

from doconv_core.costs.condconv import CondConvCost, condconv_cost
from doconv_core.costs.conv import Cost, LayerCost, layer_cost
from doconv_core.costs.networks import NETWORKS, NetworkLayer, network_layers
from doconv_core.costs.xsepconv import XSepConvCost, xsepconv_cost
from doconv_core.kernel import spec
from doconv_core.kernel.composition import compose_kernel, compose_kernel_gradients, fold_kernel
from doconv_core.kernel.initialization import identity, over_parameterize
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.model import state
from doconv_core.model.rows import SummaryRow
from doconv_core.model.state import LayerState, State, check_state
from doconv_core.model.summary import Summary
from doconv_core.neighbours import condconv, xsepconv
from doconv_core.neighbours.condconv import CondConvSpec
from doconv_core.neighbours.xsepconv import XSepConvSpec

__version__ = "0.1.0"

__all__ = [
    "NETWORKS",
    "CondConvCost",
    "CondConvSpec",
    "Cost",
    "DOConvSpec",
    "LayerCost",
    "LayerState",
    "NetworkLayer",
    "State",
    "Summary",
    "SummaryRow",
    "XSepConvCost",
    "XSepConvSpec",
    "check_state",
    "compose_kernel",
    "compose_kernel_gradients",
    "condconv_cost",
    "fold_kernel",
    "identity",
    "layer_cost",
    "network_layers",
    "over_parameterize",
    "xsepconv_cost",
]

# By these names pickles of version 0.1 know the classes.
_MOVED = (spec, state, condconv, xsepconv)
sys.modules |= {f"{__name__}.{m.__name__.split('.')[-1]}": m for m in _MOVED}
