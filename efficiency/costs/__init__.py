"""What networks and recipes cost, found from shapes alone: nothing is trained, and no parameter is made."""

from efficiency.costs.layers import layer_costs
from efficiency.costs.program import Program, network_program, recipe_program, stage_programs
from efficiency.costs.tables import compiled_costs, costs, topology_costs, xla_costs

__all__ = [
    'Program',
    'compiled_costs',
    'costs',
    'layer_costs',
    'network_program',
    'recipe_program',
    'stage_programs',
    'topology_costs',
    'xla_costs',
]
