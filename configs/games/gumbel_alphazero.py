"""Gumbel AlphaZero (Danihelka et al., 2022, openreview.net/forum?id=bERaNdoegnO): 16 simulations, halved in turns.

Published 2022-01-28. The level is 0.89 of the positions, that of plain search with 400 random games a
move; random moves are right in 0.33.

    python -m efficiency.main --config=configs/games/gumbel_alphazero.py
    python -m efficiency.main --config=configs/games/gumbel_alphazero.py:tic_tac_toe
"""

from configs.games import common


def get_config(game=None):
    return common.board(game, search='gumbel', simulations=16)
