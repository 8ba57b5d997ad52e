"""DO-Conv without a framework: sizes, initialization, composition, folding and cost, in NumPy.

Everything the adapters (``doconv_torch``, ``doconv_tf``, ``doconv_gluon``) have in common is
here; this package imports none of them.
"""

from doconv_core.composition import compose_kernel, compose_kernel_gradients, fold_kernel
from doconv_core.condconv import CondConvSpec
from doconv_core.condconv_cost import CondConvCost, condconv_cost
from doconv_core.cost import Cost, LayerCost, layer_cost
from doconv_core.initialization import identity, over_parameterize
from doconv_core.networks import NETWORKS, NetworkLayer, network_layers
from doconv_core.spec import DOConvSpec
from doconv_core.state import LayerState, State, check_state
from doconv_core.summary import Summary, SummaryRow
from doconv_core.xsepconv import XSepConvSpec
from doconv_core.xsepconv_cost import XSepConvCost, xsepconv_cost

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
