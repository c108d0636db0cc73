"""What has learned nothing, on the positions that strength on Connect Four is measured on: the levels' anchors.

    python -m benchmarks.games_anchors

prints the share of the 2,000 positions in which random moves, and plain Monte Carlo tree search with so many random
games a move, keep the value, with the standard error of the share. The same draws each time.
"""

import argparse
import math
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from efficiency.tasks.games.board.game import game
from efficiency.tasks.games.board.match import plain_mcts
from efficiency.tasks.games.board.positions import Positions, positions_of

_TOGETHER = 250  # positions searched at once


def share_kept(positions: Positions, rollouts: int) -> float:
    """The share of positions of Connect Four in which plain search with so many random games keeps the value."""
    rules = game('connect_four')

    @jax.jit
    def kept(moves, right, key):
        state = rules.play_all(rules.begin(key, len(moves)), moves)
        action = plain_mcts(rules, rollouts)(state, key)
        return jnp.take_along_axis(right, action[:, None], axis=1).sum()

    found = 0
    for number, first in enumerate(range(0, len(positions.right), _TOGETHER)):
        rows = slice(first, first + _TOGETHER)
        moves = jnp.asarray(positions.moves[rows], jnp.int32)
        found += int(kept(moves, jnp.asarray(positions.right[rows]), jax.random.fold_in(jax.random.key(0), number)))
    return found / len(positions.right)


def random_share(positions: Positions) -> float:
    """What uniformly random legal moves keep it in, on the average."""
    rules = game('connect_four')
    moves = jnp.asarray(positions.moves, jnp.int32)
    state = rules.play_all(rules.begin(jax.random.key(0), len(moves)), moves)
    return float((positions.right.sum(1) / np.asarray(state.legal_action_mask.sum(1))).mean())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rollouts', default='30,100,400', help='random games a move, with commas between')
    rollouts = [int(number) for number in parser.parse_args().rollouts.split(',')]
    positions, rows = positions_of('connect_four'), []
    for number in (0, *rollouts):
        before = time.perf_counter()
        share = share_kept(positions, number) if number else random_share(positions)
        error = math.sqrt(share * (1 - share) / len(positions.right))
        rows.append({
            'player': f'plain search, {number} random games a move' if number else 'random moves',
            'positions': len(positions.right), 'share': f'{share:.4f}', 'standard_error': f'{error:.4f}',
            'seconds': f'{time.perf_counter() - before:.0f}', 'hardware': machine.hardware(),
            'versions': machine.versions('jax', 'pgx', 'mctx'),
        })  # fmt: skip
        print(rows[-1], flush=True)
    print(machine.write_results('games_anchors', rows))


if __name__ == '__main__':
    main()
