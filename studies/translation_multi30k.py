"""From Seq2Seq to the Transformer on Multi30k: how much less compute a BLEU takes, under equal tuning.

Six systems, each tried at four learning rates from one seed, billed as tuning; the rate of the best final BLEU is
then trained from three seeds more, that of Seq2Seq, whose level the others are asked for, from five. All are trained
for five epochs to their end. An ensemble of five of Seq2Seq, as the paper's level is of, is trained once at the rate of
its config, without tuning. Levels follow from the runs: Seq2Seq's mean final BLEU on the validation split less half a
point, rounded down to half a point, then GNMT's and the ensemble's likewise. About seven hours of two cores.

    python -m efficiency.study --study=studies/translation_multi30k.py
    python -m efficiency.report --runs=results/translation_multi30k --target=bleu:20 --out=report
"""

SYSTEMS = ('seq2seq', 'seq2seq_attention', 'gnmt', 'conv_s2s', 'transformer', 'transformer_pre_norm')
# Three were to be tried; of Seq2Seq's the largest was the best, so that there is one more.
RATES = [0.001, 0.003, 0.006, 0.012]


def get_study():
    ensemble = {'config': 'configs/translation/seq2seq_ensemble.py:multi30k-en-de', 'seeds': [1]}
    return {
        'baseline': 'seq2seq',
        'levels': [{'of': name, 'less': 0.5, 'step': 0.5} for name in ('seq2seq', 'gnmt', 'seq2seq_ensemble')],
        'overrides': {'num_epochs': 5.0, 'stop_at_target': False},
        'systems': {
            name: {
                'config': f'configs/translation/{name}.py:multi30k-en-de',
                'seeds': range(1, 6) if name == 'seq2seq' else range(1, 4),
                'tune': {'settings': {'learning_rate': RATES}, 'seeds': [0], 'rule': 'best median final metric'},
            }
            for name in SYSTEMS
        }
        | {'seq2seq_ensemble': ensemble},
    }
