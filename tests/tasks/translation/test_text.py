"""Pairs of sentences: read as they are written, and what cannot be read told in one sentence."""

import pathlib
import re
import tempfile

import pytest

from efficiency.errors import UserError
from efficiency.tasks.translation.data import text
from tests.conftest import not_root


def written(folder, **files):
    """A folder with files of these bytes: `train_en` is `train.en`."""
    for name, data in files.items():
        (folder / name.replace('_', '.')).write_bytes(data)
    return folder


def of_files(folder, dataset='any-en-de', split='train'):
    return text.read(dataset, [split], folder).splits[split]


def test_lines_are_read_as_they_are_written(tmp_path):
    source = 'One  blank.\n  Two before, and one behind. \nNext\x85line, \u2028 paragraph \x0b\x0c\x1c in one.'
    folder = written(tmp_path, train_en=source.encode(), train_de='Ä\nß\n日本 ▁\n'.encode())
    pairs = of_files(folder)
    assert pairs.source == [
        'One  blank.', '  Two before, and one behind. ', 'Next\x85line, \u2028 paragraph \x0b\x0c\x1c in one.',
    ]  # fmt: skip
    assert pairs.target == ['Ä', 'ß', '日本 ▁']
    # And the other way about.
    assert of_files(folder, 'any-de-en') == (pairs.target, pairs.source)


def test_a_mark_of_how_a_file_is_written_is_none_of_its_sentences(tmp_path):
    folder = written(tmp_path, train_en='\ufeffa\nb\ufeff\n'.encode(), train_de='\ufeffc\nd\n'.encode())
    assert of_files(folder) == (['a', 'b\ufeff'], ['c', 'd'])


def test_a_folder_without_files_of_either_language_is_of_prepared_data_sets(tmp_path):
    with pytest.raises(UserError, match=f"there is no data set 'any' in {tmp_path}"):
        of_files(written(tmp_path, train_fr=b'a\n'), split='test')


def test_windows_ends_of_lines_are_none_of_the_sentence(tmp_path):
    unix = written(tmp_path, train_en=b'a\nb \n', train_de=b'c\nd\n')
    windows = written(tmp_path, dev_en=b'a\r\nb \r\n', dev_de=b'c\r\nd')
    assert of_files(windows, split='dev') == of_files(unix) == (['a', 'b '], ['c', 'd'])


def test_a_data_sets_own_name_may_have_hyphens(tmp_path):
    assert text.names_of('my-own-set-en-de') == ('my-own-set', 'en', 'de')
    folder = written(tmp_path, train_en=b'a\n', train_de=b'b\n', test_en=b'c\n', test_de=b'd\n')
    corpus = text.read('my-own-set-en-de', ['train', 'test'], str(folder))
    assert corpus == ('files', {'train': (['a'], ['b']), 'test': (['c'], ['d'])})


@pytest.mark.parametrize(
    'name',
    ['multi30k', 'a-e\nn-de', 'multi30k-en', 'a-en-en', '-en-de', 'a--de', 'a-en-', '', '--'],
    ids=lambda name: name or 'none',
)
def test_a_name_without_two_languages_is_told(name):
    with pytest.raises(UserError) as told:
        text.names_of(name)
    assert str(told.value) == f'config.dataset is {name!r}; a translation is of NAME-SOURCE-TARGET, as multi30k-en-de'


GOOD = {'train_en': b'a\nb\n', 'train_de': b'c\nd\n'}


@pytest.mark.parametrize(
    ('files', 'split', 'words'),
    [
        ({'train_en': b'a\nb\nc\n'}, 'train', '{}/train.en has 3 lines and {}/train.de 2; one must be the translation'),
        ({'train_de': b'c\n\nd\n', 'train_en': b'a\nb\nb\n'}, 'train', 'line 2 of {}/train.de is empty; take it out'),
        ({'train_en': b'a\n \t\r\n'}, 'train', 'line 2 of {}/train.en is empty'),
        ({'train_en': b'a\nb\n\n', 'train_de': b'c\nd\n\n'}, 'train', 'line 3 of {}/train.en is empty'),
        ({'train_en': b'a\n\xffb\n'}, 'train', 'line 2 of {}/train.en is no UTF-8, which a file of sentences must be'),
        ({'train_de': 'Äh\nc\n'.encode('latin1')}, 'train', 'line 1 of {}/train.de is no UTF-8'),
        ({'train_en': b''}, 'train', '{}/train.en has no line'),
        ({}, 'test', 'there is no file {}/test.en, which any-en-de asks for; there are train.de, train.en'),
        ({}, '**', 'there is no file {}/**.en, which any-en-de asks for; there are train.de, train.en'),
        ({}, 'train*', 'there is no file {}/train*.en, which'),
        ({}, '/etc/passwd', 'there is no file /etc/passwd.en, which'),
        ({'test_en': b'a\n', 'test_fr': b'b\n'}, 'test', 'there is no file {}/test.de, which any-en-de asks for; there '
         'are test.en, test.fr'),
        ({}, 'train[:50%]', 'there is no file {}/train[:50%].en; a split of files is its two files of lines, whole'),
    ],
)  # fmt: skip
def test_files_that_are_no_pairs_are_one_sentence(files, split, words, tmp_path):
    folder = written(tmp_path, **GOOD | files)
    with pytest.raises(UserError, match=re.escape(words.format(folder, folder))) as told:
        of_files(folder, split=split)
    assert '\n' not in str(told.value)


def test_a_later_splits_missing_file_is_told(tmp_path):
    folder = written(tmp_path, **GOOD, test_en=b'a\n')
    with pytest.raises(UserError, match=rf'there is no file {folder}/test\.de;'):
        text.read('any-en-de', ['train', 'test'], folder)
    (folder / 'test.de').mkdir()
    with pytest.raises(UserError, match=rf'there is no file {folder}/test\.de;'):
        text.read('any-en-de', ['train', 'test'], folder)


def test_a_folder_that_is_not_there_and_what_may_not_be_read_are_told(tmp_path):
    with pytest.raises(UserError, match=rf'there is no folder {tmp_path}/none, which --data_dir names'):
        of_files(tmp_path / 'none')
    with pytest.raises(UserError, match='there is no folder ~nobody-at-all/data, which --data_dir names'):
        of_files('~nobody-at-all/data')
    with tempfile.TemporaryDirectory() as above:  # as those above `tmp_path` are this user's alone
        folder = pathlib.Path(above) / 'data'
        folder.mkdir()
        written(folder, **GOOD)
        with not_root(), pytest.raises(UserError, match=f'cannot read {folder}: Permission denied'):
            of_files(folder)
        pathlib.Path(above).chmod(0o755)
        (folder / 'train.de').chmod(0)
        with not_root(), pytest.raises(UserError, match=rf'cannot read {folder}/train\.de: Permission denied'):
            of_files(folder)


def test_a_prepared_data_sets_texts_are_its_pairs(tfds_dir):
    english, german = text.read('multi30k-en-de', ['test'], tfds_dir).splits['test']
    assert (len(english), len(german)) == (1000, 1000)
    assert english[0] == 'A man in an orange hat starring at something.'
    assert german[0] == 'Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.'
    corpus = text.read('multi30k-de-fr', ['test[:3]', 'test[3:10]'], tfds_dir)
    assert corpus.version == '1.0.0'
    assert corpus.splits['test[:3]'].source + corpus.splits['test[3:10]'].source == german[:10]
    assert corpus.splits['test[:3]'].target[0].startswith('Un homme')


@pytest.mark.parametrize(
    ('dataset', 'split', 'words'),
    [
        ('multi30k-en-es', 'test', r"multi30k has no text 'es'; its texts are (en|de|fr), \w\w, \w\w$"),
        ('multi30k-xx-en', 'test', "multi30k has no text 'xx'"),
        ('cifar10-id-label', 'test', "cifar10 has no text 'label'; its texts are id"),
        ('multi30k-en-de', 'dev', "multi30k has no split 'dev'; its splits are train, validation, test"),
        ('multi30k-en-de', 'test[', r"'test\[' is no part of a split of multi30k"),
        ('multi30k-en-de', 'test[:0]', r'test\[:0\] of multi30k has no example'),
        ('multi30k-en-de', 'test[7:3]', r'test\[7:3\] of multi30k has no example'),
        ('multi30-en-de', 'test', "there is no data set 'multi30' .* the nearest are multi30k"),
    ],
)
def test_what_a_prepared_data_set_has_not_is_one_sentence(dataset, split, words, tfds_dir):
    with pytest.raises(UserError, match=words) as told:
        text.read(dataset, [split], tfds_dir)
    assert '\n' not in str(told.value)


def test_an_empty_sentence_of_a_record_is_told():
    rows = [('a', 'b'), ('c', ' ')]
    with pytest.raises(UserError, match='example 1 of test of some has an empty de'):
        text._pairs(rows, ('en', 'de'), 'test of some')
    assert text._pairs(rows[:1], ('en', 'de'), 'test of some') == (['a'], ['b'])


def test_the_digest_tells_sentences_apart_wherever_they_end():
    pairs = [
        text.Pairs(source, target)
        for source, target in (
            (['a', 'b'], ['c', 'd']), (['a', 'b'], ['c', 'e']), (['b', 'a'], ['c', 'd']), (['a', 'bc'], ['', 'd']),
            (['a\nb'], ['c\nd']), (['a'], ['b\nc\nd']), (['a', 'b '], ['c', 'd']),
        )
    ]  # fmt: skip
    assert len({each.digest for each in pairs}) == len(pairs)
    assert text.Pairs(['a', 'b'], ['c', 'd']).digest == pairs[0].digest
