"""Whether every system of games learns: about two minutes of each, one seed, beside random play.

    python -m benchmarks.games_variants
    python -m benchmarks.games_variants --only=pqn,ppo --game=breakout

trains each for a length that was set beforehand to take two minutes of two cores at most, evaluates it once, at its
end, and says whether it beats random play by the margin that `MARGINS` states. A row is kept as soon as it is there, in
place of that of the same system and game.
"""

import argparse
import dataclasses
import functools
import importlib
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax

from benchmarks import machine
from efficiency import records
from efficiency.tables import render
from efficiency.tasks.games.arcade.evaluation import ReturnEvaluator
from efficiency.tasks.games.arcade.screen import arcade
from efficiency.training.loop import train
from efficiency.training.mesh import DataParallel

# How much more than random play, of the metric by which each game is judged. Boards by the policy alone, as a search
# finds something without a network, too: four standard errors of a share of a third of 2,000 positions. Returns are
# means of 512 games.
METRICS = {
    'connect_four': 'raw_accuracy', 'tic_tac_toe': 'raw_accuracy',
    'breakout': 'return', 'asterix': 'return', 'freeway': 'return',
}  # fmt: skip
NAME = 'games_variants'
MARGINS = {'connect_four': 0.042, 'tic_tac_toe': 0.042, 'breakout': 0.5, 'asterix': 0.5, 'freeway': 0.5}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A system on a game.

    Attributes:
        name: unique among those of the game.
        config: of `configs/games`.
        game: what is after the colon.
        thousands: moves or frames that it has.
        changes: to the config.
    """

    name: str
    config: str
    game: str
    thousands: int
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# Of the two networks for boards the one that two minutes suffice for; tic-tac-toe's configs have it anyway.
_FAST = {'model': {'name': 'board_mlp'}}


def _ladder(game: str) -> list[Variant]:
    """The systems on a game of MinAtar, by when they were published."""
    every_four = {'updates': 2}
    return [
        Variant('dqn of 2013', 'dqn', game, 130, {'target_every': 0}),
        Variant('dqn', 'dqn', game, 110),
        Variant('double_dqn', 'double_dqn', game, 70),
        Variant('dqn every 4 frames', 'dqn', game, 200, every_four),
        Variant(
            'double_dqn with 3 steps and dueling', 'double_dqn', game, 160,
            {**every_four, 'n_step': 3, 'model': {'dueling': True}},
        ),
        Variant('ppo', 'ppo', game, 500),
        Variant('pqn', 'pqn', game, 400),
    ]  # fmt: skip


VARIANTS = (
    *_ladder('breakout'),
    Variant('ppo_self_play', 'ppo_self_play', 'connect_four', 500, _FAST),
    Variant('gumbel_alphazero', 'gumbel_alphazero', 'connect_four', 130, _FAST),
    Variant('alphazero', 'alphazero', 'connect_four', 150, _FAST),
    Variant('alphazero capped', 'alphazero', 'connect_four', 200, {**_FAST, 'full_every': 4}),
    Variant('alphago_zero', 'alphago_zero', 'connect_four', 150, _FAST),
    *_ladder('asterix'),
    *_ladder('freeway'),
    Variant('ppo_self_play', 'ppo_self_play', 'tic_tac_toe', 500),
    Variant('gumbel_alphazero', 'gumbel_alphazero', 'tic_tac_toe', 250),
    Variant('alphazero', 'alphazero', 'tic_tac_toe', 250),
    Variant('alphago_zero', 'alphago_zero', 'tic_tac_toe', 250),
)


def trained(variant: Variant, share: float = 1.0) -> records.Record:
    """The record of a run of a variant, or of a share of its length, evaluated once, at its end."""
    config = importlib.import_module(f'configs.games.{variant.config}').get_config(variant.game)
    config.update(dict(variant.changes))
    length = share * variant.thousands / 1000
    config.update({'num_epochs': length, 'eval_every': length, 'stop_at_target': False})
    if 'match_rollouts' in config:
        config.match_rollouts = 0
    with tempfile.TemporaryDirectory() as workdir:
        return train(config, pathlib.Path(workdir, 'run'))


@functools.cache
def random_return(game: str, episodes: int = 512) -> float:
    """What random actions get of a game of MinAtar, the mean of as many games as an evaluation has."""
    rules = arcade(game, 0.1)

    def choose(params, screens, key):
        return jax.random.randint(key, (len(screens),), 0, rules.actions)

    evaluate = ReturnEvaluator(rules, choose, episodes, DataParallel(1, jax.devices()[:1]))
    evaluate.compile({'params': ()})
    return evaluate({'params': ()}).metrics['return']


def row_of(variant: Variant, record: records.Record) -> dict[str, Any]:
    """What a run shows, beside random play."""
    metric, final = METRICS[variant.game], record['final']
    random = record['dataset'].get('random_accuracy')
    random = random_return(variant.game) if random is None else random
    beside = {name: f'{final[name]:.3f}' for name in ('puct_accuracy', 'gumbel_accuracy') if name in final}
    return {
        'game': variant.game, 'system': variant.name, 'thousands': round(final['examples'] / 1000),
        'unit': record['unit'], 'seconds': round(final['train_seconds']), 'train_macs': f'{final["train_macs"]:.2e}',
        'metric': metric, 'random': f'{random:.3f}', 'margin': MARGINS[variant.game], 'found': f'{final[metric]:.3f}',
        'learns': 'yes' if final[metric] >= random + MARGINS[variant.game] else 'no',
        'puct_accuracy': beside.get('puct_accuracy', ''), 'gumbel_accuracy': beside.get('gumbel_accuracy', ''),
        'hardware': machine.hardware(), 'versions': machine.versions('jax', 'pgx', 'mctx', 'gymnax'),
    }  # fmt: skip


def markdown() -> str:
    """The rows that are kept, as docs/games.md has them."""
    names = ('game', 'system', 'thousands', 'unit', 'train_macs', 'metric', 'random', 'margin', 'found', 'learns')
    return render([{name: row[name] for name in names} for row in machine.read_results(NAME)], 'markdown')


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', help='systems by the names that `VARIANTS` has, with commas between; all by default')
    parser.add_argument('--game', choices=list(METRICS), help='one of them; all by default')
    parser.add_argument('--markdown', action='store_true', help='only show the rows that are kept')
    arguments = parser.parse_args()
    if arguments.markdown:
        print(markdown())
        return
    only = arguments.only and arguments.only.split(',')
    order = [(variant.game, variant.name) for variant in VARIANTS]
    for variant in VARIANTS:
        if (only and variant.name not in only) or arguments.game not in (None, variant.game):
            continue
        row = row_of(variant, trained(variant))
        print(row, flush=True)
        rows = {(each['game'], each['system']): each for each in machine.read_results(NAME)}
        rows[variant.game, variant.name] = row
        machine.write_results(NAME, [rows[each] for each in order if each in rows])


if __name__ == '__main__':
    main()
