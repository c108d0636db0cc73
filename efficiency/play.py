"""Shows a game that a run's network plays: on a board against itself, plain search or you, and on a screen alone.

    python -m efficiency.play --run=runs/my-run
    python -m efficiency.play --run=runs/my-run --against=person

On a board X begins, the network; it searches. A move is typed as the number below its column, or of its square.
"""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from efficiency import console
from efficiency.arguments import Parser
from efficiency.errors import UserError

_OPPONENTS = ('self', 'mcts', 'person')


def _parser() -> argparse.ArgumentParser:
    parser = Parser('efficiency.play', __doc__)
    parser.add_argument('--run', required=True, help='folder of a run of board_games or arcade_games')
    parser.add_argument('--against', choices=_OPPONENTS, help='whom it plays on a board; itself by default')
    parser.add_argument('--simulations', type=int, default=32, help='of its search, and random games of plain search')
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn')
    parser.add_argument('--svg', metavar='FILE', help='write a board game as a moving picture, too')
    return parser


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    if not 1 <= arguments.simulations <= 4096:
        raise UserError(f'--simulations is {arguments.simulations}; it must be a whole number from 1 to 4096')
    from efficiency.records import RecordError, task_of
    from efficiency.training.restore import load_run
    from efficiency.training.settings import check_value

    check_value('seed', arguments.seed, '--seed')
    try:
        network, variables, record = load_run(arguments.run)
    except FileNotFoundError as error:
        why = f'there is no {error.filename}' if error.filename else error
        raise UserError(f'--run={arguments.run}: {why}') from error
    except RecordError as error:
        raise UserError(f'--run={arguments.run}: {error}') from error
    shows = {'board_games': _board, 'arcade_games': _arcade}.get(task_of(record))
    if shows is None:
        raise UserError(f'{arguments.run} is a run of {task_of(record)}; what plays is of board_games or arcade_games')
    shows(arguments, network, variables, record)
    return 0


def _board(arguments: argparse.Namespace, network: Any, variables: Any, record: Any) -> None:
    import jax

    from efficiency.tasks.games.board import show
    from efficiency.tasks.games.board.game import game
    from efficiency.tasks.games.needs import needed

    if arguments.svg:
        with _written(arguments.svg):  # before a game is played, as a person's would be lost
            open(arguments.svg, 'ab').close()
    rules, against = game(record['dataset']['name']), arguments.against or 'self'
    ours = jax.jit(show.searching(rules, network, variables['params'], arguments.simulations))
    if against == 'person':
        theirs = show.asked(rules, _typed, print)
    else:
        theirs = ours if against == 'self' else jax.jit(show.plain(rules, arguments.simulations))
    states = []
    for number, state in enumerate(show.game_of(rules, ours, theirs, jax.random.key(arguments.seed))):
        states.append(state)
        print(f'move {number}\n{show.text_of(rules, state)}\n', flush=True)
    print(show.outcome(states[-1]))
    if arguments.svg:
        one = [jax.tree.map(lambda leaf: leaf[0], state) for state in states]
        with _written(arguments.svg):
            needed('pgx').save_svg_animation(one, arguments.svg, frame_duration_seconds=0.7)


@contextlib.contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f'--svg={path} cannot be written: {error.strerror}') from error


def _typed(question: str) -> str:
    print(question, end='', flush=True)
    line = sys.stdin.readline()
    if not line:
        raise UserError('the game is not over, and nothing more is typed')
    return line


def _arcade(arguments: argparse.Namespace, network: Any, variables: Any, record: Any) -> None:
    import jax
    import jax.numpy as jnp

    from efficiency.tasks.games.arcade import show
    from efficiency.tasks.games.arcade.screen import arcade

    for option in ('against', 'svg'):
        if getattr(arguments, option):
            raise UserError(
                f'--{option} is for boards, and {arguments.run} is of the screen of {record["dataset"]["name"]}'
            )
    config = record['config']
    rules = arcade(config['dataset'], config['sticky'])

    def choose(params, screens, key):
        found = network.apply({'params': params}, screens, train=False)
        return (
            jax.random.categorical(key, found[0]) if config['learner'] == 'ppo' else found.argmax(1).astype(jnp.int32)
        )

    total = 0.0
    played = show.game_of(rules, choose, variables['params'], jax.random.key(arguments.seed))
    for number, (bits, total) in zip(itertools.count(), played, strict=False):
        print(f'frame {number}, return {total:g}\n{show.text_of(rules, bits)}\n', flush=True)
    print(f'over after {number + 1} frames with a return of {total:g}')


if __name__ == '__main__':
    console.start()
    sys.exit(main())
