"""Does LeNet-5 take less compute to AlexNet's level under another learning rate than the paper's rule gives it?

The rule: 0.01 for networks without batch norm. Three rates are tried from three seeds each, all of which is billed as
tuning, and the one of the lowest median compute to the target is then trained from three seeds that did not choose it,
beside three under the rule. It does not: both are there after six epochs in the median, and tuning cost 12.5 times what
one of the tuned runs takes. Fifteen runs of about ten seconds of CPU time each.

    python -m efficiency.study --study=studies/learning_rate.py
"""


def get_study():
    return {
        'baseline': 'by_the_rule',
        'seeds': range(3),
        'systems': {
            'by_the_rule': {'config': 'configs/lenet5.py:mnist5k'},
            'tuned': {
                'config': 'configs/lenet5.py:mnist5k',
                'tune': {
                    'settings': {'learning_rate': [0.003, 0.01, 0.03]},
                    'seeds': range(3, 6),
                    'rule': 'lowest median compute to target',
                },
            },
        },
    }
