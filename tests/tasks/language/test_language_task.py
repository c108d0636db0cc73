"""Language as a task: a run's compute by hand, stopped and resumed, what it keeps and says, and what cannot be one."""

import json
import math
import shutil

import jax
import numpy as np
import pytest

from efficiency import load_run, records
from efficiency.config_file import read_config
from efficiency.count import main as count_command
from efficiency.errors import UserError
from efficiency.summary import summary
from efficiency.tasks import open_task
from efficiency.tasks.language.task import Language
from efficiency.training.loop import train
from efficiency.training.settings import check_config
from tests.conftest import ROOT
from tests.tasks.language.networks.test_language_macs import transformer
from tests.tasks.language.texts import MODELS, config_of, write_documents
from tests.training.stopping import train_until, without_times


@pytest.fixture(scope='module', autouse=True)
def compiled_quickly():
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp('texts') / 'data')


@pytest.fixture(scope='module')
def whole(folder, tmp_path_factory):
    """A run to its end: its folder, and its record."""
    workdir = tmp_path_factory.mktemp('whole') / 'run'
    return workdir, train(config_of(), workdir, folder)


def texts_of(folder, split):
    return [path.read_bytes() for path in sorted((folder / split).glob('*.txt'))]


def test_compute_is_rows_times_what_one_takes_by_hand(folder, whole):
    _, record = whole
    tokens = sum(map(len, texts_of(folder, 'train'))) + 12 + 1  # an end behind each, and one before the first
    rows = -(-(tokens - 1) // 16)
    macs = transformer(16, 260, 1, 16, 24, gated=True)
    (program,) = record['programs']
    assert record['dataset']['num_train'] == rows
    assert program['steps'] == record['final']['step'] == math.ceil(12 * rows / 8)
    assert (program['context'], program['forward_dense_macs_per_example']) == (16, macs)
    assert program['train_dense_macs_per_step'] == 8 * 3 * macs
    for point in record['curve']:
        assert point['train_macs'] == point['paper_macs'] == point['step'] * 8 * 3 * macs


def test_a_record_says_how_many_tokens_and_bytes_there_are_and_how_they_are_evaluated(folder, whole):
    _, record = whole
    data, held_out = record['dataset'], texts_of(folder, 'test')
    assert (data['train_documents'], data['num_eval']) == (12, 5)
    assert data['train_bytes'] == sum(map(len, texts_of(folder, 'train')))
    assert data['eval_bytes'] == sum(map(len, held_out))
    assert data['eval_tokens'] == data['eval_bytes'] + 5  # bytes are tokens, and each document has an end
    windows = sum(1 + max(0, math.ceil((len(text) + 1 - 16) / 8)) for text in held_out)
    assert (data['eval_windows'], data['eval_least_context'], data['vocabulary']) == (windows, 9, 260)
    assert record['evaluation']['examples'] == len(record['curve']) * 5
    macs = transformer(16, 260, 1, 16, 24, gated=True)
    assert record['evaluation']['dense_macs'] == len(record['curve']) * windows * macs


def test_a_record_and_its_summary_say_how_many_tokens_and_bytes_a_second_it_trained_on(folder, whole):
    workdir, record = whole
    texts = texts_of(folder, 'train')
    size = sum(map(len, texts))
    epochs = record['final']['examples'] / record['dataset']['num_train']
    rates, seconds = record['throughput'], record['clock']['train_seconds']
    assert rates['bytes_per_second'] == pytest.approx(epochs * size / seconds)
    assert rates['tokens_per_second'] == pytest.approx(epochs * (size + len(texts)) / seconds)  # an end behind each
    (line,) = (line for line in summary(record, workdir).splitlines() if line.lstrip().startswith('throughput'))
    for what in ('tokens', 'bytes'):
        assert f' {rates[f"{what}_per_second"]:,.0f} {what}' in line


def test_bits_per_byte_are_what_the_kept_weights_say_and_less_than_letters_alone_tell(folder, whole):
    workdir, record = whole
    loaded, final = load_run(workdir), record['final']
    nats = 0.0
    for text in texts_of(folder, 'test'):
        row = np.array([2, *(byte + 4 for byte in text), 2], np.int32)
        asked = 0
        for first in range(0, max(1, len(row) - 1 - 16 + 8), 8):
            each = loaded.model.apply(loaded.variables, row[None, first : first + 16], train=False)[0]
            logs = np.asarray(jax.nn.log_softmax(each))
            for place in range(asked - first, len(logs)):
                if first + place + 1 < len(row):
                    nats -= logs[place, row[first + place + 1]]
                    asked = first + place + 1
        assert asked == len(row) - 1
    assert final['bits_per_byte'] == pytest.approx(nats / math.log(2) / record['dataset']['eval_bytes'], rel=1e-4)
    assert final['loss'] == pytest.approx(nats / record['dataset']['eval_tokens'], rel=1e-4)
    assert final['perplexity'] == pytest.approx(math.exp(final['loss']), rel=1e-9)
    counts = np.unique(list(b''.join(texts_of(folder, 'test'))), return_counts=True)[1]
    shares = counts / counts.sum()
    # Fewer than how often each letter comes could tell.
    assert final['bits_per_byte'] < -(shares * np.log2(shares)).sum() - 0.3


def test_a_stopped_run_goes_on_bit_for_bit(folder, whole, tmp_path):
    workdir, record = whole
    at = record['final']['step'] // 2
    train_until(at, config_of(), tmp_path, folder)
    again = train(config_of(), tmp_path, folder)
    assert again['resumed_from_steps'] == [at]
    for key in ('programs', 'evaluation', 'macs_per_example', 'dataset', 'status'):
        assert again[key] == record[key], key
    assert without_times(again['curve']) == without_times(record['curve'])
    states = [run / 'checkpoints' / str(record['final']['step']) / 'state.safetensors' for run in (tmp_path, workdir)]
    assert states[0].read_bytes() == states[1].read_bytes()


@pytest.mark.parametrize('name', sorted(MODELS.keys() - {'transformer_lm'}))
def test_every_network_is_trained_and_falls_well_below_a_guess(name, folder, tmp_path):
    record = train(config_of(name, num_epochs=8.0, eval_every=8.0), tmp_path, folder)
    cloze = name in ('bert', 't5')
    assert record['task'] == ('cloze' if cloze else 'language')
    assert record['final']['perplexity'] < 260 / 8
    assert record['final'].keys() >= ({'accuracy'} if cloze else {'bits_per_byte'})
    assert records.read(tmp_path)['published'] == record['published']


def test_a_finished_run_of_files_is_not_that_of_a_command_without_them(folder, tmp_path, run_main):
    args = [
        f'--config={ROOT / "configs" / "language" / "lstm.py"}:circle', '--config.vocabulary=bytes',
        '--config.context=16', '--config.model.width=8', '--config.num_epochs=0.5', '--config.eval_every=0.5',
        f'--workdir={tmp_path / "run"}',
    ]  # fmt: skip
    for said in ('lstm on circle', 'finished before; nothing was trained'):
        done = run_main(*args, f'--data_dir={folder}', cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr
    done = run_main(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert 'finished before' not in done.stderr
    assert "there is no data set 'circle'" in done.stderr


def test_experts_and_z_loss_are_trained_too(folder, tmp_path):
    model = MODELS['transformer_lm'] | {'name': 'transformer_lm', 'experts': 2, 'chosen': 2}
    record = train(config_of(model=model, z_loss=1e-3, num_epochs=4.0, eval_every=4.0), tmp_path, folder)
    assert record['final']['perplexity'] < 260 / 8


def test_a_command_says_bytes_or_how_many_pieces():
    path = str(ROOT / 'configs' / 'language' / 'transformer.py')
    for value in ('bytes', 300):
        assert read_config(path, [f'--config.vocabulary={value}']).to_dict()['vocabulary'] == value
    assert read_config(path).to_dict()['vocabulary'] == 4000
    assert read_config(path, ['--config.eval_stride=64']).to_dict()['eval_stride'] == 64


def test_pieces_are_learned_of_the_training_documents_and_kept(folder, tmp_path):
    config = config_of(vocabulary=275, num_epochs=1.0, eval_every=1.0)
    record = train(config, tmp_path, folder)
    assert (tmp_path / 'vocabulary.model').is_file()
    data = record['dataset']
    assert data['vocabulary'] == 275
    assert data['eval_tokens'] < data['eval_bytes']
    final = record['final']
    total = final['loss'] * data['eval_tokens'] / math.log(2)
    assert final['bits_per_byte'] == pytest.approx(total / data['eval_bytes'], rel=1e-9)


def test_other_documents_and_another_vocabulary_are_other_data(folder, whole, tmp_path):
    shutil.copytree(folder, tmp_path / 'data')

    def fingerprint(**more):
        return open_task(check_config(config_of(**more)), tmp_path / 'data').description['fingerprint']

    found = [fingerprint(), fingerprint(vocabulary=275), fingerprint(vocabulary=274)]
    for split in ('train', 'test'):
        path = tmp_path / 'data' / split / '00.txt'
        before = path.read_text()
        path.write_text(before.upper())
        found.append(fingerprint())
        path.write_text(before)
    assert found[0] == whole[1]['dataset']['fingerprint'] == fingerprint()
    assert len(set(found)) == 5


def test_windows_that_overlap_otherwise_are_asked_something_else(folder):
    def fingerprint(**more):
        return open_task(check_config(config_of(**more)), folder).description['fingerprint']

    apart = fingerprint(eval_stride=None)
    assert apart == fingerprint(eval_stride=16) == fingerprint(eval_stride=None, context=8)
    assert len({apart, fingerprint(), fingerprint(eval_stride=1), fingerprint(eval_stride=8, context=24)}) == 4


def test_a_run_is_no_older_than_what_its_loss_and_its_optimizer_have():
    def day(**more):
        return Language(check_config(config_of(**more))).published.isoformat()

    assert day() < '2022'
    assert day(z_loss=1e-4) == day(stages=((3.0, {'z_loss': 1e-4}),)) == '2022-04-05'
    muon = {'name': 'adamw', 'groups': ({'params': 'blocks_.*kernel', 'name': 'muon'},)}
    assert day(optimizer=muon) == day(stages=((3.0, {'optimizer': muon}),)) == '2024-10-04'
    assert day(optimizer={'name': 'lion'}, z_loss=1e-4) == '2023-02-13'


def test_what_is_hidden_is_part_of_what_is_asked(folder):
    def fingerprint(**more):
        return open_task(check_config(config_of('bert', **more)), folder).description['fingerprint']

    assert fingerprint() == fingerprint() != fingerprint(hidden_share=0.5)


def model_of(**more):
    return {'model': config_of().model.to_dict() | more}


@pytest.mark.parametrize(
    ('name', 'more', 'words'),
    [
        (
            'transformer_lm',
            {'context': 5000},
            'config.context is 5000, longer than all the training documents',
        ),
        ('transformer_lm', {'context': 1}, 'config.context is 1; it must be a whole number from 2 to 65536'),
        ('transformer_lm', {'eval_stride': 17}, 'config.eval_stride is 17, longer than config.context, 16'),
        ('transformer_lm', {'vocabulary': 200}, "config.vocabulary is 200; it must be 'bytes', or a whole number of"),
        (
            'transformer_lm',
            {'vocabulary': 4000},
            'config.vocabulary is 4000, and the training sentences have',
        ),
        ('transformer_lm', {'text': 'en'}, "config.text is 'en', and the files of .* have no features"),
        ('transformer_lm', {'eval_split': 'validation'}, 'there is no file .*validation/.*txt'),
        ('transformer_lm', {'eval_split': 'train'}, "train_split and config.eval_split are both 'train'; .* held out"),
        ('transformer_lm', {'train_split': '**x'}, "there is no data set 'circle'"),
        ('transformer_lm', {'train_split': 'none'}, "there is no data set 'circle'"),
        ('transformer_lm', {'task': 'cloze'}, "the config has the key 'eval_stride', which means nothing here"),
        ('bert', {'task': 'language', 'target': {'metric': 'perplexity', 'value': 9.0}}, "the key 'hidden_share'"),
        ('lstm', {'model': {'name': 'bert'}}, "config.task is 'language', and bert is a network of the task 'cloze'"),
        ('bert', {'model': {'name': 'lstm'}}, "config.task is 'cloze', and lstm is a network of the task 'language'"),
        ('bert', {'target': {'metric': 'bits_per_byte', 'value': 2.0}}, 'it must be accuracy or perplexity'),
        ('transformer_lm', {'z_loss': -1}, 'config.z_loss is -1; it must be a number from 0 to 1'),
        ('transformer_lm', model_of(kv_heads=3), '2 heads cannot share 3 of keys and values'),
        ('transformer_lm', model_of(chosen=2), 'chosen is 2, and there are no experts to choose; set experts'),
        ('transformer_lm', model_of(position='alibi'), "'alibi'; it must be sinusoid or learned or rope"),
        ('transformer_lm', {'stages': ((1, {'context': 8}),)}, "changes 'context' .* may change is .*z_loss"),
        ('transformer_lm', {'init_from': 'weights'}, 'language begins with no weights'),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_made(name, more, words, folder, tmp_path):
    with pytest.raises(UserError, match=words) as told:
        train(config_of(name, **more), tmp_path / 'run', folder)
    assert '\n' not in str(told.value)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['transformer', 'transformer_gpt', 'lstm', 'bert', 't5'])
def test_a_recipe_is_counted_without_its_data(name, capsys):
    assert count_command([f'--config=configs/language/{name}.py', '--format=json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['train_over_forward'] == 3.0
    assert row['context'] == 256
    assert 5e6 < row['params'] < 7e6


def test_networks_of_both_tasks_are_counted_by_name(capsys):
    assert count_command(['--models=gpt2_124m,bert_base', '--length=8', '--format=json']) == 0
    gpt2, bert = json.loads(capsys.readouterr().out)
    assert (gpt2['task'], bert['task']) == ('language', 'cloze')
    assert gpt2['forward_dense_macs'] == transformer(8, 50_257, 12, 768, 3072)
    assert gpt2['params'] == 124_439_808
