"""How fast games are played, beside what the network alone could do.

    python -m benchmarks.games

times a chunk of self-play of each board system, and prints moves and evaluations a second and the share that these are
of the evaluations a second of the same network's bare forward pass over as many positions; and frames a second of a
whole step of each arcade system, its updates included. Where others use the machine the share of the time that passes
means little; that of the processor's time, which ours got, is beside it.
"""

import argparse
import os
import time

import jax

from benchmarks import machine
from configs.games import alphazero, dqn, gumbel_alphazero, ppo, ppo_self_play, pqn
from efficiency.training.cache import cache_dir
from efficiency.training.programs import compile_train_steps, multiplying
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config

_SECONDS = 5.0
_BOARD = {
    'gumbel, 16 simulations': (gumbel_alphazero, {}),
    'puct, 32 simulations': (alphazero, {}),
    'ppo, no search': (ppo_self_play, {}),
}
_ARCADE = {'dqn': dqn, 'ppo': ppo, 'pqn': pqn}


def seconds_of(call):
    """Those that pass, and the processor's, in the mean of the calls of five seconds, after one that is not timed."""
    jax.block_until_ready(call())
    before, of_processor, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - before < _SECONDS:
        jax.block_until_ready(call())
        calls += 1
    return (time.perf_counter() - before) / calls, (time.process_time() - of_processor) / calls


def board_row(name, system, changes):
    """A chunk of self-play beside the bare network."""
    config = system.get_config()
    config.update(changes)
    recipe = opened(check_config(config), None)
    state, task = recipe.put(recipe.start), recipe.task
    play = jax.jit(recipe.forms[0, 0].parts[0].function)
    key = jax.random.key(0)
    chunk, processor = seconds_of(lambda: play(state.params, state.carried, key))
    boards = jax.random.bernoulli(key, shape=(config.environments, *task.game.shape)).astype('float32')
    forward = jax.jit(lambda params, boards: task.network.apply({'params': params}, boards, train=False))
    of_bare = seconds_of(lambda: forward(state.params, boards))
    evaluations = config.batch_size * (1 if config.get('learner') == 'ppo' else recipe.config.simulations + 1)
    # Of the bare network's time for as many evaluations.
    share, of_processor = (
        evaluations / config.environments * bare / took for bare, took in zip(of_bare, (chunk, processor), strict=True)
    )
    return {
        'system': f'{config.model.name}, {name}', 'moves_per_second': round(config.batch_size / chunk),
        'evaluations_per_second': round(evaluations / chunk),
        'bare_evaluations_per_second': round(config.environments / of_bare[0]), 'share': f'{share:.2f}',
        'share_of_processor_time': f'{of_processor:.2f}', 'frames_per_second': '', **_told(),
    }  # fmt: skip


def arcade_row(name, system):
    """Whole steps."""
    recipe = opened(check_config(system.get_config()), None)
    with multiplying(recipe.config.precision):
        ((programs, _), *_) = compile_train_steps(recipe.trace(), cache_dir()).values()
    state = [recipe.put(recipe.start)]

    def step():
        for program in programs:
            for _ in range(program.calls):
                state[0], _ = program.compiled(state[0], {})
        return state[0].step

    return {
        'system': name, 'moves_per_second': '', 'evaluations_per_second': '', 'bare_evaluations_per_second': '',
        'share': '', 'share_of_processor_time': '',
        'frames_per_second': round(recipe.config.batch_size / seconds_of(step)[0]), **_told(),
    }  # fmt: skip


def _told():
    return {
        'load': f'{os.getloadavg()[0]:.1f}', 'hardware': machine.hardware(),
        'versions': machine.versions('jax', 'pgx', 'mctx', 'gymnax'),
    }  # fmt: skip


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = []
    for model in ('board_mlp', 'board_resnet'):
        for name, (system, changes) in _BOARD.items():
            rows.append(board_row(name, system, {**changes, 'model': {'name': model}}))
            print(rows[-1], flush=True)
    for name, system in _ARCADE.items():
        rows.append(arcade_row(name, system))
        print(rows[-1], flush=True)
    print(machine.write_results('games', rows))


if __name__ == '__main__':
    main()
