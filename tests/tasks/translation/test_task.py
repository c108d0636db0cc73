"""Translation as a task: a run's compute by hand, stopped and resumed, its test, its files, and what cannot be one."""

import contextlib
import itertools
import json
import shutil

import jax
import numpy as np
import pytest
import sacrebleu

from efficiency import load_run, records, report
from efficiency.analysis import contents
from efficiency.count import main as count_command
from efficiency.data import vocabulary
from efficiency.data.tokens import END, PADDING
from efficiency.errors import UserError
from efficiency.tasks import open_task
from efficiency.tasks.translation.data.buckets import BucketBatches, Tokens
from efficiency.tasks.translation.decoding import greedy
from efficiency.training.loop import train
from efficiency.training.settings import check_config
from tests.tasks.translation.networks.test_macs import transformer
from tests.tasks.translation.synthetic import config_of, write_pairs
from tests.training.stopping import train_until, without_times

LENGTHS = (5, 7)  # of words and an end, so that a sentence of seven words is cut


@pytest.fixture(scope='module', autouse=True)
def compiled_quickly():
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs') / 'data')


@pytest.fixture(scope='module')
def whole(folder, tmp_path_factory):
    """A run to its target: its folder, and its record."""
    workdir = tmp_path_factory.mktemp('whole') / 'run'
    return workdir, train(config_of(), workdir, folder)


def lines_of(folder, split):
    return [(folder / f'{split}.{language}').read_text().splitlines() for language in ('plain', 'coded')]


def lengths_of(folder, split):
    """Tokens of each pair's sentences, of which every word is one, with their ends: (pairs, 2)."""
    return np.array([[len(line.split()) + 1 for line in pair] for pair in zip(*lines_of(folder, split), strict=True)])


def test_every_word_is_a_token_or_what_follows_would_count_wrongly(folder):
    pieces = vocabulary.learn(itertools.chain(*lines_of(folder, 'train')), 45)
    for split in ('train', 'validation', 'test'):
        for lines in lines_of(folder, split):
            assert [len(tokens) for tokens in pieces.encode(lines)] == [len(line.split()) for line in lines]


def test_compute_is_each_buckets_steps_times_what_one_takes_by_hand(folder, whole):
    _, record = whole
    train_lengths = np.minimum(lengths_of(folder, 'train'), LENGTHS[-1])
    tokens = [Tokens([[4] * (n - 1) for n in lengths], LENGTHS[-1]) for lengths in train_lengths.T]
    batches = BucketBatches(*tokens, LENGTHS, 16, 0)
    steps = record['final']['step']
    taken = [batches.chosen(number)[0] for number in range(steps)]
    macs = [transformer(length, length, 45, 1, 1, 16, 24) for length in LENGTHS]
    assert sorted(
        (p['form'], p['length'], p['batch_size'], p['steps'], p['forward_dense_macs_per_example'],
         p['train_dense_macs_per_step'])
        for p in record['programs']
    ) == [(i, LENGTHS[i], 16, taken.count(i), macs[i], 16 * 3 * macs[i]) for i in range(2)]  # fmt: skip
    assert min(map(taken.count, range(2))) > 50
    for point in record['curve']:
        assert point['examples'] == point['step'] * 16
        by_hand = sum(16 * 3 * macs[bucket] for bucket in taken[: point['step']])
        assert point['train_macs'] == point['paper_macs'] == by_hand
    assert record['macs_per_example']['forward_dense'] == sum(macs[bucket] for bucket in taken) / steps


def test_a_record_says_how_much_was_padding_and_how_many_sentences_were_cut(folder, whole):
    _, record = whole
    lengths = np.minimum(lengths_of(folder, 'train'), LENGTHS[-1])
    for program in record['programs']:
        low = {5: 0, 7: 5}[program['length']]
        held = lengths[(lengths.max(1) > low) & (lengths.max(1) <= program['length'])]
        assert program['padding_share'] == pytest.approx(1 - held.sum() / (held.size * program['length']), abs=1e-12)
        real = program['train_dense_macs_per_step'] * held.sum() / (held.size * program['length'])
        assert program['train_unpadded_macs_per_step'] == pytest.approx(real, abs=1)
    cut = {
        name: int((lengths_of(folder, split) > LENGTHS[-1]).sum())
        for name, split in (('train', 'train'), ('eval', 'validation'), ('test', 'test'))
    }
    assert record['dataset']['cut_sentences'] == cut
    assert min(cut.values()) > 0
    assert [record['dataset'][f'num_{name}'] for name in cut] == [300, 30, 20]


def test_cut_sentences_are_said(folder, capsys):
    open_task(check_config(config_of()), folder)
    cut = int((lengths_of(folder, 'train') > LENGTHS[-1]).sum())
    assert f'{cut} sentences of train are longer than their longest bucket and are cut' in capsys.readouterr().err


def test_a_finished_run_is_tested_once_as_its_kept_weights_translate(folder, whole):
    workdir, record = whole
    found, (source, references) = record['test'], lines_of(folder, 'test')
    loaded, pieces = load_run(workdir), vocabulary.Vocabulary((workdir / vocabulary.FILE_NAME).read_bytes())
    rows = Tokens(pieces.encode(source), LENGTHS[-1])
    write = jax.jit(
        lambda variables, source: greedy(loaded.model, variables, source, 7 + 10)
    )  # ten more than the source's
    written = np.asarray(write(loaded.variables, rows.padded(range(len(source)), LENGTHS[-1]))).tolist()
    texts = pieces.decode([[token for token in row if token not in (END, PADDING)] for row in written])
    by_hand = sacrebleu.corpus_bleu(texts, [references])
    assert found['bleu'] == by_hand.score > 10
    assert found['chrf'] == sacrebleu.corpus_chrf(texts, [references]).score
    assert (found['split'], found['examples']) == ('test', 20)
    assert found['signature'] == f'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}'
    assert found.keys() == {
        'split', 'examples', 'loss', 'bits_per_byte', 'bleu', 'chrf', 'bleu_beam_2', 'chrf_beam_2', 'signature',
        'dense_macs',
    }  # fmt: skip
    assert json.loads((workdir / 'run.json').read_text())['test'] == found
    # It is billed beside the evaluations, not with them.
    assert record['evaluation']['examples'] == len(record['curve']) * 30


def test_a_run_keeps_the_vocabulary_that_its_sentences_have(folder, whole):
    workdir, record = whole
    learned = vocabulary.learn(itertools.chain(*lines_of(folder, 'train')), 45)
    assert (workdir / 'vocabulary.model').read_bytes() == learned.model
    assert (record['dataset']['vocabulary'], record['dataset']['vocabulary_sha256']) == (45, learned.digest)


def test_a_stopped_run_goes_on_bit_for_bit_and_is_tested_at_its_end(folder, whole, tmp_path):
    workdir, record = whole
    at = 200
    train_until(at, config_of(), tmp_path, folder)
    assert 'test' not in records.read(tmp_path)
    again = train(config_of(), tmp_path, folder)
    assert again['resumed_from_steps'] == [at]
    for key in ('programs', 'evaluation', 'macs_per_example', 'dataset', 'test', 'status'):
        assert again[key] == record[key], key
    assert without_times(again['curve']) == without_times(record['curve'])
    states = [run / 'checkpoints' / str(record['final']['step']) / 'state.safetensors' for run in (tmp_path, workdir)]
    assert states[0].read_bytes() == states[1].read_bytes()


@contextlib.contextmanager
def changed(path, old, new):
    """A file in which something is once replaced."""
    data = path.read_text()
    assert old in data
    path.write_text(data.replace(old, new, 1))
    yield
    path.write_text(data)


def test_other_sentences_in_any_split_and_another_vocabulary_are_other_data(folder, whole, tmp_path):
    workdir, record = whole
    shutil.copytree(folder, tmp_path / 'data')

    def fingerprint(**more):
        return open_task(check_config(config_of(**more)), tmp_path / 'data').description['fingerprint']

    assert fingerprint() == record['dataset']['fingerprint']
    found = {fingerprint(), fingerprint(vocabulary=46)}
    for name in ('train.plain', 'train.coded', 'validation.plain', 'validation.coded', 'test.plain', 'test.coded'):
        with changed(tmp_path / 'data' / name, 'a', 'e'):
            found.add(fingerprint())
    assert len(found) == 8
    with (
        changed(tmp_path / 'data' / 'test.coded', 'a', 'e'),
        pytest.raises(UserError, match='holds a run on other data of code-plain-coded'),
    ):
        train(config_of(), workdir, tmp_path / 'data')
    # It is finished, and not begun again.
    assert train(config_of(), workdir, tmp_path / 'data') == json.loads(json.dumps(record))


def test_a_falling_target_is_reached_where_its_value_is_first_met(whole):
    _, record = whole
    below = [point['bits_per_byte'] <= 0.85 for point in record['curve']]
    assert below == [False] * (len(below) - 1) + [True]
    assert record['status'] == 'reached'
    assert record['first_crossing']['step'] == record['final']['step'] < 30 * 300 // 16
    before, after = record['curve'][-2:]
    share = (before['bits_per_byte'] - 0.85) / (before['bits_per_byte'] - after['bits_per_byte'])
    between = before['train_macs'] + share * (after['train_macs'] - before['train_macs'])
    assert record['interpolated_crossing']['train_macs'] == pytest.approx(between, rel=1e-9)


def test_runs_make_a_page(whole, tmp_path, monkeypatch):
    for seed in range(2):  # of another seed the record could say the same
        record = json.loads((whole[0] / 'run.json').read_text())
        record['seed'] = record['config']['seed'] = seed
        (tmp_path / f'{seed}.json').write_text(json.dumps(record))
    monkeypatch.setattr(contents, 'published_sections', lambda *args: [])  # which take long to draw
    page = tmp_path / 'page'
    assert report.main([f'--runs={tmp_path}', f'--out={page}']) == 0
    text = (page / 'report.md').read_text().replace('\\', '')
    assert '## Measured: bits_per_byte <= 0.85 on code-plain-coded' in text
    assert '2 runs of 1 systems' in text
    assert f'{whole[1]["final"]["train_macs"]:.2e}'.replace('e+', 'e') in text
    assert 'code-plain-coded' in (page / 'index.html').read_text()


def target_of(metric, value):
    return {'target': {'metric': metric, 'value': value}}


def model_of(**more):
    return {'model': config_of().model.to_dict() | more}


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (target_of('bleu', 3500), 'config.target.value is 3500; it must be a number above 0 and at most 100, in BLEU'),
        (target_of('bits_per_byte', -1), 'config.target.value is -1; it must be a number at least 0, in bits per byte'),
        (target_of('top1', 0.5), "config.target.metric is 'top1'; it must be bleu or chrf or bits_per_byte"),
        ({'buckets': (7, 5)}, r'config.buckets is \(7, 5\); it must be lengths in tokens that rise, from 2 to 4096'),
        ({'buckets': (5, 5)}, 'config.buckets is .* that rise'),
        ({'buckets': ()}, 'config.buckets is .* that rise'),
        ({'buckets': (1, 5)}, 'config.buckets is .* from 2 to 4096'),
        ({'buckets': 5}, 'config.buckets is 5; it must be lengths'),
        ({'eval_length': 6}, 'config.eval_length is 6, and the longest of config.buckets 7; it must be as long'),
        ({'vocabulary': 3}, 'config.vocabulary is 3; it must be a whole number from 8 to'),
        ({'vocabulary': 4000}, 'config.vocabulary is 4000, and the training sentences have .* pieces at most'),
        ({'vocabulary': 8}, 'config.vocabulary is 8; the characters of the training sentences'),
        ({'label_smoothing': 1}, 'config.label_smoothing is 1; it must be a number, at least 0 and below 1'),
        ({'beam': 0}, 'config.beam is 0; it must be a whole number from 1 to 64'),
        ({'length_penalty': -1}, 'config.length_penalty is -1; it must be a number from 0 to 10'),
        ({'model': {'name': 'transfomer'}}, "no model is named 'transfomer'; the nearest are transformer"),
        (model_of(depth=3), "transformer has no option 'depth'; it has encoder_layers, "),
        (model_of(width=15), '2 heads cannot share a width of 15'),
        (model_of(dropout=1.5), 'dropout'),
        ({'dataset': 'code-plain-plain'}, 'a translation is of NAME-SOURCE-TARGET'),
        ({'dataset': 'code-plain-klingon'}, 'there is no .*train.klingon, which code-plain-klingon asks for'),
        ({'test_split': 'tests'}, 'there is no file .*tests.plain'),
        ({'train_split': 'none'}, 'there is no file .*none.plain'),
        ({'model': {'name': 'conv_s2s'}, 'eval_length': 247}, 'is 247; conv_s2s knows 256 .* be 246 at most'),
        ({'image_size': 28}, "the config has the key 'image_size', which means nothing here"),
        ({'stages': ((1, {'vocabulary': 50}),)}, "changes 'vocabulary' .* may change is .*label_smoothing"),
        ({'init_from': 'weights'}, 'translation begins with no weights'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_before_anything_is_made(more, words, folder, tmp_path):
    with pytest.raises(UserError, match=words) as told:
        train(config_of(**more), tmp_path / 'run', folder)
    assert '\n' not in str(told.value)
    assert not (tmp_path / 'run').exists()


def test_a_recipe_is_counted_without_its_data_a_row_for_each_bucket(capsys):
    assert count_command(['--config=configs/translation/transformer.py', '--format=json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['task'], row['length']) for row in rows] == [('translation', length) for length in (16, 24, 40)]
    assert [row['forward_dense_macs'] for row in rows] == [
        transformer(length, length, 4000, encoder=3, decoder=3, d=128, ff=256) for length in (16, 24, 40)
    ]
    assert {row['train_over_forward'] for row in rows} == {3.0}
