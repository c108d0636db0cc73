"""Batches of sentences by length, held against a going through all pairs that is written out here once more."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.data.batches import Host
from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.tasks.translation.data.buckets import BucketBatches, Tokens, bucket_of

BUCKETS, BATCH, SEED = (4, 7, 12), 8, 3


def drawn(count=203, seed=0, longest=BUCKETS[-1]):
    """Pairs of sentences of all lengths; each source begins with the number of its pair, so that it can be told."""
    draw = np.random.RandomState(seed)
    source = [[4 + i, *draw.randint(4, 999, draw.randint(0, longest - 1))] for i in range(count)]
    target = [draw.randint(4, 999, draw.randint(1, longest)).tolist() for _ in range(count)]
    return Tokens(source, longest), Tokens(target, longest)


def batches_of(pairs, **more):
    how = {'lengths': BUCKETS, 'batch_size': BATCH, 'seed': SEED} | more
    return BucketBatches(*pairs, **how)


def numbers_of(batch):
    return (batch['source'][:, 0] - 4).tolist()


@pytest.fixture(scope='module')
def pairs():
    return drawn()


def by_hand(source, target):
    """The length that a pair is padded to."""
    return next(length for length in BUCKETS if len(source) <= length and len(target) <= length)


def test_every_batch_is_full_and_of_the_shortest_bucket_that_takes_its_pairs(pairs):
    batches, seen = batches_of(pairs), set()
    for number in range(80):
        batch = batches.at(number * BATCH)
        assert batch.keys() == {'source', 'target'}
        length = batch['source'].shape[1]
        assert (batch['source'].shape, batch['target'].shape) == ((BATCH, length), (BATCH, length + 1))
        assert batch['source'].dtype == batch['target'].dtype == np.int32
        assert batches.lengths[batches.chosen(number)[0]] == length
        for index, source, target in zip(numbers_of(batch), batch['source'], batch['target'], strict=True):
            rows = [tokens.rows[index] for tokens in pairs]
            assert length == by_hand(*rows)
            assert source.tolist() == rows[0] + [PADDING] * (length - len(rows[0]))
            assert target.tolist() == [BEGIN, *rows[1]] + [PADDING] * (length - len(rows[1]))
        seen.add(length)
    assert seen == set(BUCKETS)


@pytest.mark.parametrize('epochs', [1, 2, 7])
def test_over_some_epochs_each_pair_is_seen_as_often_but_for_those_that_wait(epochs, pairs):
    source, target = pairs
    sizes = collections.Counter(by_hand(*rows) for rows in zip(source.rows, target.rows, strict=True))
    batches, seen = batches_of(pairs), collections.Counter()
    full = sum(epochs * size // BATCH for size in sizes.values())
    for number in range(full):
        seen.update(numbers_of(batches.at(number * BATCH)))
    waiting = epochs * len(source) - seen.total()
    assert waiting == sum(epochs * size % BATCH for size in sizes.values()) <= len(BUCKETS) * (BATCH - 1)
    # Each bucket has a batch's worth, so that what waits comes in the next epoch.
    assert {seen[i] for i in range(len(source))} <= {epochs - 1, epochs}
    assert sum(epochs - seen[i] for i in range(len(source))) == waiting


def test_a_batch_is_what_going_through_the_epochs_orders_gives(pairs):
    """The order is that of the seed and the epoch alone, and a bucket's batch comes when its last pair does."""
    batches, waiting, expected = batches_of(pairs), {length: [] for length in BUCKETS}, []
    for epoch in range(3):
        order = np.random.Generator(np.random.Philox(np.random.SeedSequence([SEED, epoch]))).permutation(len(pairs[0]))
        for index in order:
            held = waiting[by_hand(pairs[0].rows[index], pairs[1].rows[index])]
            held.append(index)
            if len(held) == BATCH:
                expected.append(list(held))
                held.clear()
    assert [numbers_of(batches.at(number * BATCH)) for number in range(len(expected))] == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 150), min_size=1, max_size=6))
def test_a_batch_depends_on_the_seed_and_the_position_alone(numbers):
    pairs = drawn()
    one = batches_of(pairs)
    for number in numbers:
        again = batches_of(pairs).at(number * BATCH)  # as a run that is resumed there
        for name, array in one.at(number * BATCH).items():
            np.testing.assert_array_equal(array, again[name])


def test_another_seed_and_another_epoch_have_another_order(pairs):
    def first(count, **more):
        batches = batches_of(pairs, **more)
        return [numbers_of(batches.at(number * BATCH)) for number in range(count)]

    assert first(20) == first(20)
    assert first(20) != first(20, seed=SEED + 1)
    order = [number for batch in first(50) for number in batch]
    assert order[:100] != order[203:303]


@pytest.mark.parametrize('count', [2, 4])
def test_hosts_parts_side_by_side_are_the_whole_batch(count, pairs):
    whole = batches_of(pairs)
    hosts = [batches_of(pairs, host=Host(i, count)) for i in range(count)]
    for position in (0, 5 * BATCH, 31 * BATCH):
        parts = [host.at(position) for host in hosts]
        for name, array in whole.at(position).items():
            assert [len(part[name]) for part in parts] == [BATCH // count] * count
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)


def test_fewer_pairs_than_a_batch_wait_for_as_many_epochs_as_it_takes():
    pairs = drawn(count=3, longest=4)
    batches = batches_of(pairs, lengths=(4,))
    seen = collections.Counter(i for number in range(3) for i in numbers_of(batches.at(number * BATCH)))
    assert seen == {0: 8, 1: 8, 2: 8}


def test_long_sentences_are_cut_and_counted_and_none_loses_its_end():
    sentences = [list(range(4, 4 + n)) for n in (0, 1, 10, 11, 12, 13, 40)]
    tokens = Tokens(sentences, 12)
    assert tokens.cut.tolist() == [False] * 4 + [True] * 3  # 11 tokens and an end are 12
    assert tokens.rows[:4] == [[*sentence, END] for sentence in sentences[:4]]
    assert tokens.rows[4:] == [[*range(4, 15), END]] * 3
    assert (len(tokens), tokens.lengths.tolist()) == (7, [1, 2, 11, 12, 12, 12, 12])
    assert bucket_of(tokens, Tokens([[4]] * 7, 12), BUCKETS).tolist() == [0, 0, 2, 2, 2, 2, 2]
    assert bucket_of(Tokens([[4] * n for n in (3, 4, 6, 7)], 12), Tokens([[]] * 4, 12), BUCKETS).tolist() == [
        0,
        1,
        1,
        2,
    ]


def test_rows_are_padded_behind():
    tokens = Tokens([[7, 8], [9]], 5)
    assert tokens.padded([1, 0, 1], 4).tolist() == [[9, END, 0, 0], [7, 8, END, 0], [9, END, 0, 0]]
    assert tokens.padded(np.array([0]), 3, BEGIN).tolist() == [[BEGIN, 7, 8, END]]
