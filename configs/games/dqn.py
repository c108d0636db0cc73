"""DQN (Mnih et al., 2015, doi:10.1038/nature14236): a replay, a target network, an update for each frame.

Published 2015-02-25; first on 2013-12-19, as arXiv:1312.5602, which has no target network: `--config.target_every=0`.
One update every four frames, as on Atari, is `--config.updates=2`.

    python -m efficiency.main --config=configs/games/dqn.py:breakout
"""

from configs.games import common


def get_config(game=None):
    return common.deep_q(game)
