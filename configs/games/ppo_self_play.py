"""Self-play without search: PPO (Schulman et al., 2017, arXiv:1707.06347) of both sides by one network.

Published 2017-07-20. Two passes over each chunk of moves, clip 0.2, lambda 0.9, entropy 0.03.

    python -m efficiency.main --config=configs/games/ppo_self_play.py
"""

from configs.games import common


def get_config(game=None):
    return common.board(game, learner='ppo', learning_rate=0.0005, gradient_clip_norm=0.5)
