"""What networks and recipes cost, found from shapes alone: nothing is trained, and no parameter is made."""

from efficiency.costs.counted import Counted, counted_evaluation, counted_network, counted_recipe, counted_stages
from efficiency.costs.layers import layer_costs
from efficiency.costs.tables import compiled_costs, costs, topology_costs, xla_costs

__all__ = [
    'Counted',
    'compiled_costs',
    'costs',
    'counted_evaluation',
    'counted_network',
    'counted_recipe',
    'counted_stages',
    'layer_costs',
    'topology_costs',
    'xla_costs',
]
