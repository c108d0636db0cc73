"""Sentences as pieces: what is encoded comes back to the letter, and a vocabulary that cannot be is one sentence."""

import functools
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.data import vocabulary
from efficiency.data.tokens import BEGIN, END, PADDING, UNKNOWN
from efficiency.errors import UserError
from efficiency.tasks.translation.data import text

LINES = ['ein Hund  läuft', ' der Hund und die Hündin', 'Hunde, die bellen; 3 Hunde', 'lauf!']


@pytest.fixture(scope='module')
def multi30k(tfds_dir):
    return text.read('multi30k-en-de', ['train', 'validation', 'test'], tfds_dir).splits


def test_every_sentence_of_multi30k_comes_back_to_the_letter(multi30k):
    pieces = vocabulary.learn([*multi30k['train'].source, *multi30k['train'].target], 4000)
    assert pieces.size == 4000
    for split in multi30k.values():
        for lines in split:
            encoded = pieces.encode(lines)
            assert pieces.decode(encoded) == lines
            assert all(UNKNOWN < token < 4000 for tokens in encoded for token in tokens)


def test_the_same_sentences_have_the_same_vocabulary_and_others_another(multi30k):
    lines = [*multi30k['validation'].source, *multi30k['validation'].target]
    one, again = (vocabulary.learn(lines, 500) for _ in range(2))
    assert one.model == again.model
    assert one.digest == again.digest == hashlib.sha256(one.model).hexdigest()
    assert vocabulary.Vocabulary(one.model).encode(lines) == one.encode(lines)
    assert vocabulary.learn(lines, 501).digest != one.digest
    assert vocabulary.learn([*lines[:-1], lines[-1] + lines[0] * 9], 500).digest != one.digest


# Any character but halves of surrogates, which are none; those that are something to sentencepiece more often.
OWN = list('  \t\r\n\v\x00\x1c\x1f\x85\u2028▁▅⁇<s>\U0010fffd012345aab')
TEXT = st.text(st.characters(exclude_categories=['Cs']) | st.sampled_from(OWN), min_size=1)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_any_text_of_characters_seen_in_training_comes_back_to_the_letter(lines):
    pieces = as_many_as_there_are(lines)
    # A blank begins a sentence, and so it was seen.
    for seen in (lines, [line[::-1] for line in lines], ['  '.join(lines), f' {"".join(lines)}  ']):
        assert pieces.decode(pieces.encode(seen)) == seen


def as_many_as_there_are(lines):
    try:
        return vocabulary.learn(lines, 2**20)
    except UserError as told:
        (most,) = [int(word) for word in str(told).split() if word.isdigit()]
        return vocabulary.learn(lines, most)


@pytest.mark.parametrize(
    'line',
    [
        'ein  Hund', '  der Hund ', ' ', '   ', 'Hund\x85die\u2028\x0b\x0c\x1c\x1d\x1eund', 'lauf\t\tlauf', 'die\r',
        'a▁b', '▁', '▁ ▁', '▅', 'n\0l', '\x1f', '\U0010fffd\U0010fffd0', 'u\u0308 ü', 'ﬁ Ⅳ', '\ufeffx',
        '<s> </s> <pad> <unk>',
    ],
)  # fmt: skip
def test_nothing_in_a_sentence_is_changed(line):
    pieces = as_many_as_there_are([*LINES, line])
    (tokens,) = pieces.encode([line])
    assert pieces.decode([tokens]) == [line]
    assert not {PADDING, BEGIN, END, UNKNOWN} & set(tokens)


def test_a_character_that_training_had_not_is_unknown_and_the_rest_stays():
    pieces = vocabulary.learn(LINES, 40)
    (tokens,) = pieces.encode(['Hund 犬 Hund'])
    assert tokens.count(UNKNOWN) == 1
    (decoded,) = pieces.decode([tokens])
    assert decoded.split() == ['Hund', '⁇', 'Hund']


def test_the_special_tokens_are_the_first_and_spell_nothing():
    pieces = vocabulary.learn(LINES, 40)
    (tokens,) = pieces.encode(['Hund'])
    assert (PADDING, BEGIN, END) == (0, 1, 2)
    assert pieces.decode([[BEGIN, *tokens, END, PADDING, PADDING], []]) == ['Hund', '']
    # Their names are plain text.
    (named,) = vocabulary.learn([*LINES, '<pad><s></s><unk>'], 60).encode(['<pad><s></s><unk>'])
    assert min(named) > UNKNOWN


def test_a_vocabulary_that_is_too_large_or_too_small_is_told_with_what_would_be_right():
    characters = len(set(''.join(LINES)))
    for size, words in (
        (4000, r'config.vocabulary is 4000, and the training sentences have (\d+) pieces at most; take fewer'),
        (12, r'config.vocabulary is 12; the characters .* are (\d+), so take more'),
    ):
        with pytest.raises(UserError, match=words) as told:
            vocabulary.learn(LINES, size)
        assert '\n' not in str(told.value)
        right = int(str(told.value).split('have ' if size > 100 else 'are ')[1].split()[0].strip(','))
        assert vocabulary.learn(LINES, right).size == right
        with pytest.raises(UserError):
            vocabulary.learn(LINES, right + (1 if size > 100 else -1))
    # A blank is a piece like any character, and four tokens are special.
    assert right == characters + 4


@pytest.mark.parametrize('lines', [['a ' * 600_000, 'b'], ['ä' * 600_000]])
def test_a_line_that_sentencepiece_would_leave_out_is_told(lines):
    with pytest.raises(UserError, match='1 of the training sentences are longer than a MiB'):
        vocabulary.learn(lines, 9)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_with_bytes_to_fall_back_on_any_text_comes_back_to_the_letter(lines):
    pieces = of_bytes()
    found = pieces.encode(lines)
    assert pieces.decode(found) == lines
    assert all(token > UNKNOWN for tokens in found for token in tokens)


@functools.cache
def of_bytes():
    return vocabulary.learn(['der Hund\n', 'ein Hund'], 280, byte_fallback=True)


def test_an_end_of_a_line_is_one_piece_of_a_document():
    pieces = of_bytes()
    one, two, both = pieces.encode(['der', 'der Hund', 'der\n\nder Hund'])
    assert len(both) <= len(one) + 2 + len(two)
    assert both[len(one)] == both[len(one) + 1]
