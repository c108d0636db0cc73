"""What each part of today's Transformer is worth on sotu: every combination of four, from none of them to all.

Rotary positions in place of learned ones, RMS norms in front in place of layer norms behind, SwiGLU in place of GELU of
as many multiply-adds, and Muon in place of AdamW for the layers' matrices: 16 systems of 4 layers of width 192, each
from two seeds, for 0.2 epochs. All are under one learning rate, which was chosen for none of them. Two hours of two
cores.

A system is named by its parts, which the report reads the gains from ([studies](../docs/studies.md#gains)).

    python -m efficiency.study --study=studies/language_options.py
    python -m efficiency.report --runs=results/language_options --target=bits_per_byte:2.0 --out=report
"""

import itertools

# By each part what sets it, and what takes its place where it is left out.
_PARTS = {
    'rope': ({'model.position': 'rope'}, {'model.position': 'learned'}),
    'rms': ({'model.norm': 'rms'}, {'model.norm': 'post'}),
    'swiglu': (
        {'model.activation': 'swiglu', 'model.hidden': 512},
        {'model.activation': 'gelu', 'model.hidden': 768},
    ),
    'muon': ({}, {'optimizer.groups': ()}),
}
_COMMON = {
    'model.layers': 4, 'model.width': 192, 'num_epochs': 0.2, 'warmup_epochs': 0.02, 'eval_every': 0.02,
    'stop_at_target': False, 'learning_rate': 0.002,
}  # fmt: skip


def _overrides(parts):
    found = dict(_COMMON)
    for part, (present, absent) in _PARTS.items():
        found |= present if part in parts else absent
    return found


def get_study():
    combinations = [parts for count in range(5) for parts in itertools.combinations(_PARTS, count)]
    return {
        'baseline': 'plain',
        'seeds': range(2),
        'systems': {
            '+'.join(['plain', *parts]): {
                'config': 'configs/language/transformer.py',
                'overrides': _overrides(parts),
            }
            for parts in combinations
        },
    }
