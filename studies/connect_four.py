"""From AlphaGo Zero's way to Gumbel's on Connect Four: how much less compute a strength takes.

One network, four systems, each tried at three learning rates from one seed, billed as tuning; the best is trained from
three seeds more. All go on to their end, so that the level follows from the runs: what AlphaGo Zero's way holds there.
About eight hours of two cores, by an estimate, in which AlphaGo Zero's way has 0.4 million moves a run.

    python -m efficiency.study --study=studies/connect_four.py
    python -m efficiency.report --runs=results/connect_four --target=gumbel_accuracy:0.8 --out=report
"""

_RATES = {'learning_rate': [0.0003, 0.001, 0.003]}
# System: millions of moves, of a cost of 1.4e13 to 2.8e13 macs.
_MOVES = {'ppo_self_play': 2.0, 'gumbel_alphazero': 0.4, 'alphazero': 0.4, 'alphago_zero': 0.4}


def get_study():
    return {
        'baseline': 'alphago_zero',
        'levels': [{'of': 'alphago_zero', 'less': 0, 'step': 0.005}],
        'overrides': {'stop_at_target': False, 'eval_every': 0.04},
        'systems': {
            name: {
                'config': f'configs/games/{name}.py:connect_four',
                'seeds': range(1, 4),
                'overrides': {'num_epochs': moves},
                'tune': {'settings': _RATES, 'seeds': [0], 'rule': 'best median final metric'},
            }
            for name, moves in _MOVES.items()
        },
    }
