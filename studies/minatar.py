"""From DQN to PQN on MinAtar's Breakout, step by step: how much less compute a return takes.

A million frames each, from three seeds, all to their end; the level is what DQN holds there, the mean of its seeds.
Between DQN and the methods without replay stand its own later steps, so that each is seen. About five
hours of two cores, by an estimate.

    python -m efficiency.study --study=studies/minatar.py
    python -m efficiency.report --runs=results/minatar --target=return:5 --out=report
"""

# System: config, and what it has otherwise.
_SYSTEMS = {
    'pqn': ('pqn', {}),
    'ppo': ('ppo', {}),
    'dqn_every_4_frames': ('dqn', {'updates': 2}),
    'n_step_dueling': ('double_dqn', {'updates': 2, 'n_step': 3, 'model.dueling': True}),
    'dqn': ('dqn', {}),
    'double_dqn': ('double_dqn', {}),
}


def get_study():
    return {
        'baseline': 'dqn',
        'levels': [{'of': 'dqn', 'less': 0, 'step': 0.1}],
        'overrides': {'stop_at_target': False},
        'systems': {
            name: {'config': f'configs/games/{config}.py:breakout', 'seeds': range(3), 'overrides': overrides}
            for name, (config, overrides) in _SYSTEMS.items()
        },
    }
