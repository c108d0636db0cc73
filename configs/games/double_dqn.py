"""Double DQN (van Hasselt et al., 2015, arXiv:1509.06461): one network chooses the action, an older one values it.

Published 2015-09-22. Returns of three steps and a dueling network (Wang et al., 2015, arXiv:1511.06581) are
`--config.n_step=3 --config.model.dueling=True`.

    python -m efficiency.main --config=configs/games/double_dqn.py:breakout
"""

from configs.games import common


def get_config(game=None):
    return common.deep_q(game, double=True)
