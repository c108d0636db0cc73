"""Documents: where they come from, that they come back to the letter, and what cannot be read is one sentence."""

import os

import numpy as np
import pytest

from efficiency.data import vocabulary
from efficiency.data.prepared_text import decoded
from efficiency.data.tokens import END
from efficiency.errors import UserError
from efficiency.tasks.language.data import documents
from efficiency.tasks.language.data.documents import Documents
from efficiency.tasks.language.data.tokenizers import Bytes, joined, size_of, tokenizer
from tests.tasks.language.texts import write_documents


def test_a_prepared_data_set_is_read_whole(tfds_dir):
    corpus = documents.read('sotu', '', ['train', 'test'], tfds_dir)
    assert {name: len(split.texts) for name, split in corpus.splits.items()} == {'train': 221, 'test': 12}
    assert sum(split.bytes for split in corpus.splits.values()) == 10_761_413
    names = documents.read('sotu', 'name', ['test'], tfds_dir).splits['test']
    assert all(len(name) < 40 for name in names.texts)


def test_every_text_file_of_a_splits_folder_is_a_document(tmp_path):
    folder = write_documents(tmp_path / 'data')
    (folder / 'train' / 'deeper').mkdir()
    (folder / 'train' / 'deeper' / 'one.txt').write_bytes('é\r\n'.encode())
    (folder / 'train' / 'notes.md').write_text('no document')
    found = documents.read('any', '', ['train', 'test'], folder).splits
    assert (len(found['train'].texts), len(found['test'].texts)) == (13, 5)
    assert found['train'].texts[-1] == 'é\r\n'
    assert found['train'].bytes == sum(path.stat().st_size for path in (folder / 'train').glob('**/*.txt'))


def test_the_digest_tells_documents_apart_wherever_they_end():
    splits = [['a', 'b'], ['ab'], ['b', 'a'], ['a', 'b', ''], ['a1 b']]
    assert len({Documents(texts).digest for texts in splits}) == len(splits)
    assert Documents(['a', 'b']).digest == Documents(['a', 'b']).digest


def test_a_byte_is_a_token_and_pieces_are_learned_of_the_training_texts():
    texts = ['é\n', '', 'ab']
    assert [tokens.tolist() for tokens in Bytes().encode(texts)] == [[199, 173, 14], [], [101, 102]]
    assert (size_of('bytes'), size_of(300)) == (260, 300)
    pieces = tokenizer(280, ['the cat\n', 'the dog\n'])
    assert pieces.size == 280
    back = vocabulary.Vocabulary(pieces.model)
    for text in ('the cat\n', 'quite another 日本 \x00\n\n'):
        assert back.decode([tokens.tolist() for tokens in pieces.encode([text])]) == [text]
    assert len(pieces.encode(['the '])[0]) < len('the ')


def test_documents_are_joined_with_an_end_before_the_first_and_behind_each():
    found = joined([np.array([5, 6], np.int32), np.array([], np.int32), np.array([7], np.int32)])
    assert found.tolist() == [END, 5, 6, END, END, 7, END]
    assert found.dtype == np.int32


@pytest.mark.parametrize(
    ('dataset', 'feature', 'split', 'words'),
    [
        ('sotu', 'txt', 'train', "sotu has no text 'txt'; its texts are .*name.*: config.text names one"),
        ('multi30k', '', 'train', "multi30k has no text 'text'; its texts are .*en"),
        ('sotu', '', 'validation', "sotu has no split 'validation'; its splits are train, test"),
        ('sotu', '', 'test[:0]', r'test\[:0\] of sotu has no example'),
        ('sotu', '', 'test[8:3]', r'test\[8:3\] of sotu has no example'),
        ('sotu', '', 'test[:300]', r"'test\[:300\]' is no part of a split of sotu"),
        ('sotu', '', 'test[a:b]', r"'test\[a:b\]' is no part of a split of sotu"),
        ('sotus', '', 'test', "there is no data set 'sotus' .* the nearest are sotu"),
    ],
)
def test_what_a_prepared_data_set_has_not_is_one_sentence(dataset, feature, split, words, tfds_dir):
    with pytest.raises(UserError, match=words) as told:
        documents.read(dataset, feature, [split], tfds_dir)
    assert '\n' not in str(told.value)


def test_parts_that_share_examples_are_not_held_out_of_each_other(tfds_dir):
    with pytest.raises(UserError, match=r'train\[:80%\] and train\[70%:\] of sotu have 22 examples in common; .* held'):
        documents.read('sotu', '', ['train[:80%]', 'train[70%:]'], tfds_dir)
    with pytest.raises(UserError, match=r'train and train\[-10:\] of sotu have 10 examples in common'):
        documents.read('sotu', '', ['train', 'train[-10:]'], tfds_dir)
    found = documents.read('sotu', '', ['train[:80%]', 'train[80%:]'], tfds_dir).splits
    assert [len(split.texts) for split in found.values()] == [177, 44]


def test_what_files_have_not_is_one_sentence(tmp_path):
    folder = write_documents(tmp_path / 'data')

    def read(*splits, feature=''):
        return documents.read('any', feature, splits, folder)

    with pytest.raises(UserError, match=r'there is no file .*/validation/.*txt; a split of files is a folder'):
        read('train', 'validation')
    with pytest.raises(UserError, match=r"config.text is 'en', and the files of .* have no features"):
        read('train', feature='en')
    with pytest.raises(UserError, match=r'there is no folder .*none, which --data_dir names'):
        documents.read('any', '', ['train'], tmp_path / 'none')
    (tmp_path / 'flat').mkdir()
    (tmp_path / 'flat' / 'a.txt').write_text('a')
    with pytest.raises(UserError, match=r'flat has .txt files and no folder train; a split of files is a folder'):
        documents.read('any', '', ['train', 'test'], tmp_path / 'flat')
    (folder / 'none').mkdir()
    with pytest.raises(UserError, match=r'there is no file .*/none/.*txt; a split of files is a folder'):
        read('none', 'test')
    (folder / 'linked').mkdir()
    (folder / 'linked' / '7.txt').symlink_to(folder / 'train' / '03.txt')
    for splits in (('.', 'test'), ('train', 'linked')):
        with pytest.raises(UserError, match=r'txt is in \S+ and in \S+; what is evaluated on must be held out'):
            read(*splits)
    (folder / 'copied').mkdir()
    text = (folder / 'train' / '03.txt').read_bytes()
    for copy in (text, text + b'\n', b'\xef\xbb\xbf' + text, text.replace(b' ', b'\r\n')):
        (folder / 'copied' / 'b.txt').write_bytes(copy)
        with pytest.raises(UserError, match=r'copied/b.txt has the text of \S+train/03.txt; what is evaluated on must'):
            read('train', 'copied')
    (folder / 'empty').mkdir()
    (folder / 'empty' / 'a.txt').write_text('')
    with pytest.raises(UserError, match=r'empty of .*data has no text'):
        read('train', 'empty')
    (folder / 'test' / '03.txt').write_bytes(b'caf\xe9 au lait')
    with pytest.raises(UserError, match=r'test/03.txt is no UTF-8: its byte 3 is 0xe9'):
        read('train', 'test')


def test_no_document_is_left_out_unsaid(tmp_path):
    folder = write_documents(tmp_path / 'data')
    (folder / 'train' / '.#03.txt').symlink_to('an-editor@its-host')
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more' / 'a.txt').write_text('ba de')
    (folder / 'train' / 'deep').mkdir()
    (folder / 'train' / 'deep' / 'b.txt').symlink_to(tmp_path / 'more' / 'a.txt')
    assert 'ba de' in documents.read('any', '', ['train'], folder).splits['train'].texts
    for name, make, words in (
        ('gone.txt', lambda path: path.symlink_to(tmp_path / 'none'), 'gone.txt is a link that leads nowhere'),
        ('pipe.txt', os.mkfifo, 'pipe.txt is named as a document and is no regular file'),
        ('more', lambda path: path.symlink_to(tmp_path / 'more'), 'deep/more is a link to a folder, which no split'),
    ):
        path = folder / 'train' / 'deep' / name
        make(path)
        with pytest.raises(UserError, match=words):
            documents.read('any', '', ['train'], folder)
        path.unlink()


def test_bytes_of_a_record_that_are_no_utf8_are_told():
    assert decoded('é'.encode(), 'it') == 'é'
    with pytest.raises(UserError, match='the text of example 7 is no UTF-8: its byte 1 is 0xff'):
        decoded(b'a\xffb', 'the text of example 7')
