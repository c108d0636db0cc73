"""Rows and windows: every token trained on, every held-out one asked for once, and what is hidden can be put back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.data.batches import Host, TrainBatches
from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.errors import UserError
from efficiency.tasks.language.data.objectives import Hidden, Next, Spans
from efficiency.tasks.language.data.rows import Packed, drawn_windows, next_windows
from efficiency.tasks.language.data.tokenizers import joined

SIZE = 50
DOCUMENTS = st.lists(st.lists(st.integers(4, SIZE - 1), max_size=25), min_size=1, max_size=6)


def arrays(documents):
    return [np.array(tokens, np.int32) for tokens in documents]


def draws(count, seed=0):
    return [np.random.Generator(np.random.Philox(key=[seed, i])) for i in range(count)]


@settings(deadline=None)
@given(DOCUMENTS, st.integers(2, 9))
def test_every_token_follows_another_in_some_row(documents, context):
    tokens = joined(arrays(documents))
    if len(tokens) <= context:
        with pytest.raises(UserError, match=f'config.context is {context}, longer than all the training documents'):
            Packed(tokens, Next(context, SIZE))
        return
    packed = Packed(tokens, Next(context, SIZE))
    batch = packed.take(np.arange(len(packed)), None)
    assert len(packed) == -(-(len(tokens) - 1) // context)
    whole = np.concatenate([batch['tokens'], batch['wanted'][:, -1:]], axis=1)
    np.testing.assert_array_equal(whole[:, 1:], batch['wanted'])
    for number, row in enumerate(whole[:-1]):
        np.testing.assert_array_equal(row, tokens[number * context : number * context + context + 1])
    np.testing.assert_array_equal(whole[-1], tokens[-context - 1 :])


@settings(deadline=None)
@given(DOCUMENTS, st.integers(2, 9), st.data())
def test_every_held_out_token_is_asked_for_once_with_as_much_before_it_as_is_said(documents, context, data):
    stride = data.draw(st.integers(1, context))
    windows = next_windows(arrays(documents), Next(context, SIZE), stride)
    rows, wanted = (windows.split.arrays[name] for name in ('tokens', 'wanted'))
    assert windows.counts.tolist() == (wanted != PADDING).sum(1).tolist()
    for number, tokens in enumerate(documents):
        own = windows.document == number
        assert [token for row in wanted[own] for token in row[row != PADDING]] == [*tokens, END]
        for place, (row, asked) in enumerate(zip(rows[own], wanted[own], strict=True)):
            whole = [END, *tokens, END][place * stride :]
            first, count = np.argmax(asked != PADDING), len(whole[:-1][:context])
            assert row.tolist() == [*whole[:-1][:context], *[PADDING] * (context - count)]
            np.testing.assert_array_equal(asked[first:count], whole[1 + first : 1 + count])
            assert (asked[:first] == PADDING).all()
            # A token at `first` has itself before what follows, and all before it in the row.
            assert first + 1 == (1 if place == 0 else windows.least_context)


def test_windows_that_follow_one_another_leave_nothing_between_them():
    windows = next_windows(arrays([range(4, 14)]), Next(4, SIZE), 4)
    assert windows.split.arrays['tokens'].tolist() == [[END, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, PADDING]]
    assert windows.split.arrays['wanted'].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, END, PADDING]]
    assert windows.least_context == 1


def test_hidden_tokens_are_a_share_and_can_be_put_back():
    rows = np.random.RandomState(0).randint(4, SIZE, (400, 64)).astype(np.int32)
    objective = Hidden(64, SIZE, 0.15)
    batch = objective.batch(rows, draws(400))
    asked = batch['wanted'] != PADDING
    assert asked.mean() == pytest.approx(0.15, abs=0.01)
    np.testing.assert_array_equal(np.where(asked, batch['wanted'], batch['tokens']), rows)
    given_ = batch['tokens'][asked]
    assert (given_ == SIZE).mean() == pytest.approx(0.8, abs=0.02)
    assert (given_ == rows[asked]).mean() == pytest.approx(0.1 + 0.1 / SIZE, abs=0.02)
    assert batch['tokens'].max() == SIZE == objective.size - 1
    assert asked.any(1).all()


@settings(deadline=None)
@given(st.integers(2, 40), st.floats(0.05, 0.8), st.floats(1, 6), st.integers(0, 99))
def test_spans_that_were_taken_out_can_be_put_back(context, share, span, seed):
    objective = Spans(context, SIZE, share, span)
    row = np.arange(4, 4 + context, dtype=np.int32)[None]
    batch = objective.batch(row, draws(1, seed))
    source, wanted = (batch[name][0].tolist() for name in ('source', 'wanted'))
    assert {name: batch[name].shape[1:] for name in batch} == {
        name: shape for name, (shape, _) in objective.shapes.items()
    }
    assert PADDING not in source + wanted  # a whole row fills its batch
    assert (source[-1], wanted[-1]) == (END, END)
    assert batch['tokens'][0].tolist() == [BEGIN, *wanted[:-1]]
    taken = {}
    for token in wanted[:-1]:
        if token >= SIZE:
            taken[current := token] = []
        else:
            taken[current].append(token)
    back = [token for each in source[:-1] for token in taken.get(each, [each])]
    assert back == row[0].tolist()
    assert list(taken) == list(range(SIZE, objective.size))
    assert sum(map(len, taken.values())) == min(max(round(context * share), 1), context - 1)


@pytest.mark.parametrize(('tokens', 'out'), [(2, 1), (10, 2), (40, 6), (255, 38), (256, 38)])
def test_of_a_short_row_as_large_a_share_is_taken_out(tokens, out):
    row = np.zeros((1, 256), np.int32)
    row[0, :tokens] = np.arange(4, 4 + tokens) % (SIZE - 4) + 4
    written = Spans(256, SIZE, 0.15, 3.0).batch(row, draws(1, 0))['wanted'][0]
    assert ((written >= 4) & (written < SIZE)).sum() == out


@pytest.mark.parametrize('objective', [Hidden(8, SIZE, 0.3), Spans(8, SIZE, 0.3, 2.0)])
def test_what_is_drawn_to_evaluate_on_is_the_same_each_time_and_has_every_document(objective):
    documents = arrays([range(4, 24), [5], [], range(4, 10)])
    one, again = (drawn_windows(documents, objective) for _ in range(2))
    for name, array in one.split.arrays.items():
        np.testing.assert_array_equal(array, again.split.arrays[name])
    # Of the third, only its end, nothing can be told.
    assert one.document.tolist() == [0, 0, 0, 1, 3]
    assert (one.counts > 0).all()


@pytest.mark.parametrize('objective', [Next(8, SIZE), Hidden(8, SIZE, 0.3), Spans(8, SIZE, 0.5, 2.0)])
def test_batches_are_a_function_of_seed_and_position_whoever_takes_part(objective):
    packed = Packed(np.random.RandomState(0).randint(4, SIZE, 203).astype(np.int32), objective)
    whole = TrainBatches(packed, 6, 3, objective.draws)
    halves = [TrainBatches(packed, 6, 3, objective.draws, Host(index, 2)) for index in range(2)]
    for position in (0, 6, 24, 60):
        batch = whole.at(position)
        assert {name: (array.shape[1:], array.dtype) for name, array in batch.items()} == objective.shapes
        for name, array in batch.items():
            np.testing.assert_array_equal(np.concatenate([half.at(position)[name] for half in halves]), array)
    if objective.draws:  # the same row is asked otherwise in the next epoch
        rows = TrainBatches(packed, len(packed), 3, True)
        one, other = (rows.at(len(packed) * epoch)['wanted'] for epoch in (0, 1))
        assert sorted(map(tuple, one)) != sorted(map(tuple, other))
