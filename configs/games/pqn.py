"""PQN (Gallici et al., 2024, arXiv:2407.04811): Q-learning without replay or target network, layer norm in their place.

Published 2024-07-05. 64 games side by side, Q(0.65) of each chunk of 2,048 frames, two passes in 32 batches each.

    python -m efficiency.main --config=configs/games/pqn.py:breakout
"""

from configs.games import common


def get_config(game=None):
    return common.arcade(
        game, learner='pqn', model={'name': 'arcade_q', 'norm': True}, environments=64, batch_size=2048, updates=64,
        update_batch=64, gae_lambda=0.65, epsilon=0.05, epsilon_frames=100_000, optimizer={'name': 'radam'},
        learning_rate=0.0005, schedule='linear', gradient_clip_norm=10.0,
    )  # fmt: skip
