"""Games: compute to a playing strength, on boards that a network learns by playing itself, and on small screens."""

import os
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.metrics import SHARE, Metric
from efficiency.tasks import register_task
from efficiency.values import ABOVE_ZERO, TRUTH, Rule, is_whole, number, one_of, whole

if TYPE_CHECKING:
    from efficiency.tasks.games.arcade.task import ArcadeGame
    from efficiency.tasks.games.board.task import BoardGame

_BOARD_METRICS = tuple(
    Metric(name, SHARE, True, 0, 1) for name in ('raw_accuracy', 'puct_accuracy', 'gumbel_accuracy')
)  # fmt: skip
# So many moves or frames are what the lengths of a config are told in.
EPOCH = 1_000_000
_MOST = 2**20
_ALL_AT_ONCE = Rule(lambda v: is_whole(v) and v == 1, '1: an update of a game takes its examples at once')
_BOARD_SETTINGS = {
    'clip': number(0, 1),
    'dirichlet_alpha': ABOVE_ZERO,
    'dirichlet_fraction': number(0, 1),
    'entropy': number(0, 10),
    'environments': whole(1, _MOST),
    'eval_simulations': whole(1, 4096),
    'fast_simulations': whole(1, 4096),
    'full_every': whole(1, 4096),
    'gae_lambda': number(0, 1),
    'gate_every': whole(0, _MOST),
    'gate_games': whole(2, 1024),
    'gate_share': number(0, 1),
    'learner': one_of(('search', 'ppo')),
    'match_rollouts': whole(0, 4096),
    'microbatches': _ALL_AT_ONCE,
    'mirror': TRUTH,
    'opening_plies': whole(0, 40),
    'puct': ABOVE_ZERO,
    'replay_iterations': whole(1, 4096),
    'search': one_of(('puct', 'gumbel')),
    'simulations': whole(1, 4096),
    'temperature_plies': whole(0, 4096),
    'update_batch': whole(1, _MOST),
    'updates': whole(1, _MOST),
}
_BOARD_DEFAULTS = {
    'clip': 0.2,
    'dirichlet_alpha': 1.0,
    'dirichlet_fraction': 0.25,
    'entropy': 0.03,
    'eval_simulations': 32,
    'fast_simulations': 8,
    'full_every': 1,
    'gae_lambda': 0.9,
    'gate_every': 0,
    'gate_games': 128,
    'gate_share': 0.55,
    'learner': 'search',
    'match_rollouts': 0,
    'mirror': True,
    'opening_plies': 10,
    'puct': 1.25,
    'replay_iterations': 8,
    'search': 'gumbel',
    'simulations': 16,
    'temperature_plies': 12,
}

_ARCADE_METRICS = (Metric('return', 'points', True, 0),)
_ARCADE_SETTINGS = {
    'clip': number(0, 1),
    'discount': number(0, 1),
    'double': TRUTH,
    'entropy': number(0, 10),
    'environments': whole(1, _MOST),
    'epsilon': number(0, 1),
    'epsilon_frames': whole(1, 2**30),
    'eval_episodes': whole(1, _MOST),
    'gae_lambda': number(0, 1),
    'learner': one_of(('dqn', 'ppo', 'pqn')),
    'microbatches': _ALL_AT_ONCE,
    'n_step': whole(1, 100),
    'replay_frames': whole(1, 2**24),
    'sticky': number(0, 1),
    'target_every': whole(0, 2**30),
    'update_batch': whole(1, _MOST),
    'updates': whole(1, _MOST),
    'warm_up': whole(0, 2**30),
}
_ARCADE_DEFAULTS = {
    'clip': 0.2,
    'discount': 0.99,
    'double': False,
    'entropy': 0.01,
    'epsilon': 0.1,
    'epsilon_frames': 100_000,
    'eval_episodes': 512,
    'gae_lambda': 0.95,
    'n_step': 1,
    'replay_frames': 100_000,
    'sticky': 0.1,
    'target_every': 1000,
    'warm_up': 0,
}


def _check_shared(config: ConfigDict) -> None:
    if config.batch_size % config.environments:
        raise UserError(
            f'config.batch_size is {config.batch_size}, what all environments do in a step, and environments '
            f'{config.environments}; it must be a multiple of them'
        )
    if any('batch_size' in dict(changes) for _, changes in config.stages):
        raise UserError('config.stages changes batch_size; games and replay have the size of the first step throughout')
    if config.averaging.name != 'none':
        raise UserError(f'config.averaging.name is {config.averaging.name!r}; games have none')


def _check_board(config: ConfigDict) -> None:
    _check_shared(config)
    plies = config.batch_size // config.environments
    if plies % config.full_every:
        raise UserError(
            f'config.full_every is {config.full_every}, and a step has {plies} plies of each environment; it must '
            'divide them'
        )
    if config.gate_games % 2:
        raise UserError(f'config.gate_games is {config.gate_games}; it must be even, as each side begins half of them')
    if config.learner == 'ppo' and config.gate_every:
        raise UserError(f'config.gate_every is {config.gate_every}, and ppo has no gate; it must be 0')
    if config.learner == 'ppo' and config.update_batch > config.batch_size:
        raise UserError(
            f'config.update_batch is {config.update_batch}, and a step has {config.batch_size} moves; it must be no '
            'more'
        )


def _check_board_names(config: ConfigDict) -> None:
    from efficiency.tasks.games.board.task import network

    network(config)


@register_task(
    'board_games', metrics=_BOARD_METRICS, settings=_BOARD_SETTINGS, defaults=_BOARD_DEFAULTS, check=_check_board,
    check_names=_check_board_names, networks='efficiency.tasks.games.board.alone',
)  # fmt: skip
def _open_board(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'BoardGame':
    from efficiency.tasks.games.board.task import BoardGame

    return BoardGame(config)


def _check_arcade(config: ConfigDict) -> None:
    _check_shared(config)
    if config.learner != 'dqn':
        if config.update_batch > config.batch_size:
            raise UserError(
                f'config.update_batch is {config.update_batch}, and a step has {config.batch_size} frames; it must be '
                'no more'
            )
        if config.warm_up:
            raise UserError(
                f'config.warm_up is {config.warm_up}, and {config.learner} has no replay to fill: leave it 0'
            )
        return
    slots = config.replay_frames // config.environments
    if config.replay_frames % config.environments or slots <= config.n_step:
        raise UserError(
            f'config.replay_frames is {config.replay_frames}, and environments {config.environments}; it must be a '
            f'multiple of them, more than {config.n_step} times as many'
        )
    if config.warm_up >= config.num_epochs * EPOCH:
        raise UserError(f'config.warm_up is {config.warm_up} frames, and the run has no more; nothing would be learned')
    if config.warm_up < (config.n_step + 1) * config.environments:
        raise UserError(
            f'config.warm_up is {config.warm_up}; to have something to learn from it must be at least '
            f'{(config.n_step + 1) * config.environments} frames'
        )


def _check_arcade_names(config: ConfigDict) -> None:
    from efficiency.tasks.games.arcade.task import network
    from efficiency.tasks.games.networks import list_models

    makes = 'arcade_actor_critic' if config.learner == 'ppo' else 'arcade_q'
    # Before its options, which are another network's.
    if config.model.name != makes and config.model.name in list_models():
        raise UserError(f'config.model.name is {config.model.name}, and {config.learner} learns {makes}')
    network(config)


@register_task(
    'arcade_games', metrics=_ARCADE_METRICS, settings=_ARCADE_SETTINGS, defaults=_ARCADE_DEFAULTS, check=_check_arcade,
    check_names=_check_arcade_names, networks='efficiency.tasks.games.arcade.alone',
)  # fmt: skip
def _open_arcade(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'ArcadeGame':
    from efficiency.tasks.games.arcade.task import ArcadeGame

    return ArcadeGame(config)
