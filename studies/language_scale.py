"""Loss against compute of LSTMs and Transformers on sotu at four sizes: does the gain of the one depend on scale?

From 0.4 to 6 million parameters of Transformers and 0.7 to 7 of LSTMs, under a constant rate after the warm-up, so
that every evaluation of a run is the end of a shorter one; half an epoch each, two seeds. The report fits a power law
in parameters and tokens to each family ([studies](../docs/studies.md#scale)). About an hour and a half of two cores,
the smallest first.

    python -m efficiency.study --study=studies/language_scale.py --changed_code
    python -m efficiency.report --runs=results/language_scale --target=bits_per_byte:1.8 --out=report

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

# Layers and width, and the width of an LSTM of two layers of about as many multiply-adds.
_SIZES = {'s': (2, 64, 96), 'm': (3, 128, 192), 'l': (4, 192, 320), 'xl': (6, 256, 512)}
_COMMON = {
    'num_epochs': 0.5, 'warmup_epochs': 0.02, 'eval_every': 0.05, 'stop_at_target': False, 'schedule': 'constant',
}  # fmt: skip


def _transformer(layers, width):
    model = {'model.layers': layers, 'model.width': width, 'model.hidden': width * 8 // 3 // 2 * 2}
    return {
        'config': 'configs/language/transformer.py',
        'overrides': _COMMON | model | {'optimizer.groups': (), 'learning_rate': 0.002},
    }


def _lstm(width):
    model = {'model.width': width, 'model.embedding': width // 2}
    return {'config': 'configs/language/lstm.py', 'overrides': _COMMON | model | {'learning_rate': 0.002}}


def get_study():
    systems = {}
    for size, (layers, width, lstm_width) in _SIZES.items():
        systems[f'lstm-{size}'] = _lstm(lstm_width)
        systems[f'transformer-{size}'] = _transformer(layers, width)
    return {'baseline': 'lstm-s', 'seeds': range(2), 'systems': systems}
