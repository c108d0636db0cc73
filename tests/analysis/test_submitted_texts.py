"""A record of language or of hidden words is checked as one of images is: from its config and its texts."""

import json

import pytest

from efficiency import records, report
from efficiency.analysis.submission import check
from tests.analysis.tampered import numbers, unnoticed
from tests.tasks.language.texts import write_documents

# By task its network, and a target that it meets.
OF = {'language': ('lstm', 'bits_per_byte', 7.9), 'cloze': ('bert', 'perplexity', 250.0)}
CONFIG = """
from tests.tasks.language.texts import config_of

def get_config():
    target = {{'metric': {1!r}, 'value': {2}}}
    return config_of({0!r}, batch_size=4, num_epochs=1.0, eval_every=0.25, target=target)
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp('texts') / 'data')


@pytest.fixture(scope='module', params=OF)
def whole(request, data, tmp_path_factory, run_main):
    """A run's record, of a commit."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / 'config.py').write_text(CONFIG.format(*OF[request.param]))
    done = run_main(f'--config={folder / "config.py"}', f'--data_dir={data}', f'--workdir={folder / "run"}')
    assert done.returncode == 0, done.stderr
    record = records.read(folder / 'run')
    assert records.task_of(record) == request.param
    assert record['first_crossing'] is not None
    return record | {'git': {'commit': 'a' * 40, 'dirty': False}}


def checked(tmp_path, record, data):
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(record))
    return check(path, data_dir=data)


def test_it_is_accepted_where_its_texts_are(tmp_path, whole, data, capsys):
    assert checked(tmp_path, whole, data) == []
    assert report.main([f'--check_submission={tmp_path / "run.json"}', f'--data_dir={data}']) == 0
    assert 'nothing is wrong with it' in capsys.readouterr().out


def test_nothing_vouches_for_texts_that_are_not_here_or_are_others(tmp_path, whole):
    (problem,) = checked(tmp_path, whole, tmp_path / 'nowhere')
    assert problem.startswith('run.json: its data set cannot be looked at: ')
    others = write_documents(tmp_path / 'others', train=13)
    problems = checked(tmp_path, whole, others)
    assert any('dataset.fingerprint' in problem for problem in problems)


def test_a_metric_in_another_unit_or_direction_is_said(tmp_path, whole, data):
    name, metric = next(iter(whole['metrics'].items()))
    for change in ({'unit': 'furlongs'}, {'low': -1}):
        (problem,) = checked(tmp_path, whole | {'metrics': whole['metrics'] | {name: metric | change}}, data)
        assert 'metrics are other than those of' in problem


# Nobody but who trained can know, as of images.
UNKNOWABLE = {
    'learning_rate', 'momentum', 'b2', 'dropout', 'warmup_epochs', 'weight_decay', 'gradient_clip_norm',
    'eval_batch_size', 'compile_seconds', 'data_wait_seconds', 'evaluation_seconds', 'checkpoint_seconds',
    'accuracy', 'hidden_share', 'lowered_flops_per_step', 'hidden_span',
}  # fmt: skip


def test_no_number_that_matters_can_be_ten_times_another(whole, data):
    places = (place for place in numbers(whole) if place[0] != 'metrics')
    kept = [place for place in places if place[0] != 'curve' or place[1] == 0]
    assert len(kept) > 50
    assert unnoticed(whole, kept, data) <= UNKNOWABLE
