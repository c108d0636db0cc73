"""PPO (Schulman et al., 2017, arXiv:1707.06347): 64 games side by side, four passes over each chunk of 2,048 frames.

Published 2017-07-20. Evaluated by drawing from its policy.

    python -m efficiency.main --config=configs/games/ppo.py:breakout
"""

from configs.games import common


def get_config(game=None):
    return common.arcade(
        game, learner='ppo', model={'name': 'arcade_actor_critic'}, environments=64, batch_size=2048, updates=32,
        update_batch=256, learning_rate=0.0025, schedule='linear', gradient_clip_norm=0.5,
    )  # fmt: skip
