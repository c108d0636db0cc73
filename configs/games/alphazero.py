"""AlphaZero's way (Silver et al., 2017, arXiv:1712.01815): as AlphaGo Zero's without a gate, the newest network plays.

Published 2017-12-05. PUCT with 32 simulations in place of 800. The randomised cap of playouts of KataGo (Wu, 2019,
arXiv:1902.10565) is `--config.full_every=4 --config.fast_simulations=8`.

    python -m efficiency.main --config=configs/games/alphazero.py
"""

from configs.games import common


def get_config(game=None):
    return common.board(game, search='puct', simulations=32)
