"""The study of translation, in its shortest form: 60 steps on 500 pairs of Multi30k."""

import pathlib

import numpy as np
import pytest

from efficiency import records
from tests.conftest import ROOT
from tests.kept_studies import kept, run_study, shortest

STEPS = 60
SHORT = {
    'train_split': 'train[:500]', 'eval_split': 'validation[:40]', 'test_split': 'test[:20]', 'vocabulary': 500,
    'buckets': (48,), 'eval_length': 48, 'num_epochs': STEPS * 64 / 500, 'eval_every': STEPS * 64 / 1000,
    'stop_at_target': False,
}  # fmt: skip


@pytest.mark.parametrize(
    'names',
    [
        ('transformer',),
        pytest.param(('seq2seq', 'seq2seq_attention', 'conv_s2s', 'seq2seq_ensemble'), marks=pytest.mark.slow),
        pytest.param(('seq2seq', 'gnmt', 'transformer_pre_norm'), marks=pytest.mark.slow),
    ],
)
def test_it_runs_to_its_levels_and_its_bill(tmp_path, tfds_dir, capfd, monkeypatch, names):
    if not pathlib.Path(tfds_dir, 'multi30k').is_dir():
        pytest.skip('TFDS_DATA_DIR has no prepared multi30k')
    monkeypatch.chdir(ROOT)
    path = shortest(tmp_path, 'translation_multi30k', names, SHORT, {'less': 0.5, 'step': 0.5})
    found = run_study(path, tmp_path, '--jobs=2', f'--data_dir={tfds_dir}')
    said = capfd.readouterr()
    tuned = [name for name in names if 'tune' in kept('translation_multi30k')['systems'][name]]
    assert len(found) == len(names) + len(tuned)
    for record in found:
        assert record['final']['step'] == STEPS
        assert record['test']['examples'] == 20
        assert record['curve'][0]['loss'] > record['final']['loss']
        macs = {program['train_dense_macs_per_step'] for program in record['programs']}
        assert len(macs) == 1
        assert record['final']['train_macs'] == STEPS * macs.pop()
    for name in tuned:
        assert f'{name}: {name}-learning_rate=' in said.out
        assert 'among 1 by best median final metric' in said.out
    (baseline,) = (record for record in found if record['study']['role'] == 'baseline')
    # After so few steps a level may be none, and nothing is asked for.
    level = np.floor(2 * baseline['final']['bleu'] - 1) / 2
    assert (f'compute to bleu >= {level:g} on multi30k-en-de, the mean of' in said.out) == (level > 0)
    spent = sum(records.spent(record)[0] for record in found)
    assert f'{spent:,}' in said.out
