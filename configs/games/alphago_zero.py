"""AlphaGo Zero's way (Silver et al., 2017, doi:10.1038/nature24270): PUCT, and a gate before a network may play.

Published 2017-10-18. Moves are drawn by visits while a game is young, Dirichlet noise is at the root, half of the
positions learned from are mirrored (there, one of eight symmetries), and every fourth step the new network must score
55 % of 128 games against the one that plays. Simulations are 32 in place of 1,600; the gate's are training compute.

    python -m efficiency.main --config=configs/games/alphago_zero.py
"""

from configs.games import common


def get_config(game=None):
    return common.board(game, search='puct', simulations=32, gate_every=4)
