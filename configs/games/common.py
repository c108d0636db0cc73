"""What configs of games share; `--config=configs/games/alphazero.py:tic_tac_toe` names another game than the first."""

from ml_collections import ConfigDict

# What says nothing to a learner that does not search.
_SEARCH = {
    'search': 'gumbel',
    'simulations': 16,
    'puct': 1.25,
    'dirichlet_alpha': 1.0,
    'dirichlet_fraction': 0.25,
    'temperature_plies': 12,
    'full_every': 1,  # every so many plies the whole search, and this one between
    'fast_simulations': 8,
    'gate_every': 0,  # steps; 0 for none
    'mirror': True,
    'replay_iterations': 8,
}


def board(game: str | None, **more) -> ConfigDict:
    """Self-play on a board: AdamW at a constant rate, 256 games side by side, chunks of 32 plies, a replay of 8 chunks.

    Args:
        game: connect_four where None, or tic_tac_toe.
        more: what the system has otherwise.
    """
    game = game or 'connect_four'
    config = {
        'task': 'board_games',
        'dataset': game,
        'model': {'name': 'board_resnet'},
        # What plain search of 400 random games a move has (`python -m benchmarks.games_anchors`).
        'target': {'metric': 'gumbel_accuracy', 'value': 0.89},
        'stop_at_target': True,
        'environments': 256,
        'batch_size': 8192,  # moves of a step
        'num_epochs': 2.0,  # of a million moves each
        'eval_every': 0.05,
        'match_rollouts': 100,
        'learner': 'search',
        **_SEARCH,
        'opening_plies': 10,  # of random moves at most
        'update_batch': 256,
        'updates': 64,  # two samples for each move
        'optimizer': {'name': 'adamw'},
        'learning_rate': 0.001,
        'schedule': 'constant',
        'weight_decay': 0.0001,
        'precision': 'float32',
        'seed': 0,
    }
    if game == 'tic_tac_toe':
        config |= {
            'model': {'name': 'board_mlp', 'width': 128, 'layers': 2},
            'target': {'metric': 'raw_accuracy', 'value': 1.0}, 'num_epochs': 0.4, 'eval_every': 0.01,
            'environments': 128, 'batch_size': 1024, 'opening_plies': 4, 'temperature_plies': 4, 'match_rollouts': 0,
            'updates': 8, 'replay_iterations': 32, 'schedule': 'cosine',
        }  # fmt: skip
    if more.get('learner') == 'ppo':
        config = {key: value for key, value in config.items() if key not in _SEARCH}
    return ConfigDict(config | more)


def arcade(game: str | None, **more) -> ConfigDict:
    """MinAtar's games with sticky actions of 0.1; a million frames, 512 games an evaluation.

    Args:
        game: breakout where None, or asterix or freeway.
        more: what the system has otherwise.
    """
    return ConfigDict(
        {
            'task': 'arcade_games',
            'dataset': game or 'breakout',
            'model': {'name': 'arcade_q'},
            'target': {'metric': 'return', 'value': 5.0},
            'stop_at_target': True,
            'num_epochs': 1.0,  # of a million frames each
            'eval_every': 0.05,
            'eval_episodes': 512,
            'sticky': 0.1,
            'optimizer': {'name': 'adamw'},
            'schedule': 'constant',
            'precision': 'float32',
            'seed': 0,
        }
        | more
    )


def deep_q(game: str | None, **more) -> ConfigDict:
    """DQN as of 2015 on MinAtar (Young & Tian, 2019, arXiv:1903.03176): an update of 32 for each frame."""
    return arcade(
        game, learner='dqn', environments=8, batch_size=8, updates=8, update_batch=32, replay_frames=100_000,
        target_every=1000, warm_up=5000, epsilon=0.1, epsilon_frames=100_000, n_step=1, discount=0.99,
        model={'name': 'arcade_q', 'dueling': False}, optimizer={'name': 'rmsprop', 'b2': 0.95, 'eps': 0.01},
        learning_rate=0.00025, **{'double': False} | more,
    )  # fmt: skip
