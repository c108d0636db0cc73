"""The study of translation, in its shortest form: 60 steps on 500 pairs of Multi30k."""

import importlib.util
import pathlib

import numpy as np
import pytest

from efficiency import records, study
from tests.conftest import ROOT

STEPS = 60
SHORT = {
    'train_split': 'train[:500]', 'eval_split': 'validation[:40]', 'test_split': 'test[:20]', 'vocabulary': 500,
    'buckets': (48,), 'eval_length': 48, 'num_epochs': STEPS * 64 / 500, 'eval_every': STEPS * 64 / 1000,
    'stop_at_target': False,
}  # fmt: skip


def kept() -> dict:
    """The study's own data."""
    spec = importlib.util.spec_from_file_location('kept', ROOT / 'studies' / 'translation_multi30k.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_study()


def shortest(folder: pathlib.Path, *names: str) -> pathlib.Path:
    """A study's file of some of the systems, at one rate and from one seed each, the first their baseline."""
    data = kept()
    systems = {}
    for name in names:
        systems[name] = data['systems'][name] | {'seeds': [1]}
        if tune := systems[name].get('tune'):
            rates = tune['settings']['learning_rate'][:1]
            systems[name]['tune'] = tune | {'settings': {'learning_rate': rates}}
    levels = [{'of': names[0], 'less': 0.5, 'step': 0.5}]
    data |= {'baseline': names[0], 'systems': systems, 'overrides': data['overrides'] | SHORT, 'levels': levels}
    path = folder / 'short.py'
    path.write_text(f'def get_study():\n    return {data!r}\n')
    return path


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
    folders = [f'--runs={tmp_path / "runs"}', f'--results={tmp_path / "results"}']
    assert study.main([f'--study={shortest(tmp_path, *names)}', *folders, '--jobs=2', f'--data_dir={tfds_dir}']) == 0
    said = capfd.readouterr()
    found = [records.read(path) for path in sorted((tmp_path / 'results').rglob('*.json'))]
    tuned = [name for name in names if 'tune' in kept()['systems'][name]]
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
