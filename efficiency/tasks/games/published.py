"""When the ways to learn a game were published: the day of a run is that of the last of what its config asks for."""

import datetime
from collections.abc import Iterator

from ml_collections import ConfigDict

# By paper: the day of its first version, or of the journal's where that is where it was first.
_DAYS = {
    'arXiv:1312.5602': '2013-12-19',  # DQN
    'doi:10.1038/nature14236': '2015-02-25',  # DQN with a target network
    'arXiv:1509.06461': '2015-09-22',  # Double DQN
    'arXiv:1511.06581': '2015-11-20',  # dueling networks
    'arXiv:1707.06347': '2017-07-20',  # PPO
    'arXiv:1710.02298': '2017-10-06',  # Rainbow: several steps' returns from a replay
    'doi:10.1038/nature24270': '2017-10-18',  # AlphaGo Zero
    'arXiv:1712.01815': '2017-12-05',  # AlphaZero
    'arXiv:1902.10565': '2019-02-27',  # KataGo: playouts that are capped by turns
    'openreview.net/forum?id=bERaNdoegnO': '2022-01-28',  # Gumbel AlphaZero
    'arXiv:2407.04811': '2024-07-05',  # PQN
}


def papers_of(config: ConfigDict) -> list[str]:
    """What a config of games asks for, by the papers that it is of."""
    return list(_board(config) if config.task == 'board_games' else _arcade(config))


def published_of(config: ConfigDict) -> datetime.date:
    """The day on which the last of them was published."""
    return max(datetime.date.fromisoformat(_DAYS[paper]) for paper in papers_of(config))


def _board(config: ConfigDict) -> Iterator[str]:
    if config.learner == 'ppo':
        yield 'arXiv:1707.06347'
        return
    if config.search == 'gumbel':
        yield 'openreview.net/forum?id=bERaNdoegnO'
    else:
        yield 'doi:10.1038/nature24270' if config.gate_every else 'arXiv:1712.01815'
    if config.full_every > 1:
        yield 'arXiv:1902.10565'


def _arcade(config: ConfigDict) -> Iterator[str]:
    if config.learner != 'dqn':
        yield {'ppo': 'arXiv:1707.06347', 'pqn': 'arXiv:2407.04811'}[config.learner]
    else:
        yield 'doi:10.1038/nature14236' if config.target_every else 'arXiv:1312.5602'
        if config.double:
            yield 'arXiv:1509.06461'
        if config.n_step > 1:
            yield 'arXiv:1710.02298'
    if config.model.get('dueling'):
        yield 'arXiv:1511.06581'
