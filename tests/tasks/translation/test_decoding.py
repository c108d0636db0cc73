"""Written translations, held against asking the whole network anew at each token, and against trying all there are."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.tasks.translation.decoding import beam_search, greedy
from efficiency.tasks.translation.networks import model_entry
from tests.tasks.translation.networks.tiny import SIZES, VOCAB, filled, once, sentences, shapes_of, tiny

LENGTH, WIDTH = 7, 3
# One that keeps a state, one that keeps windows, one that keeps all before; with each how large the variables are and
# what they are drawn by, so that it says something else of nearly every source.
NETWORKS = {'seq2seq': (4, 23), 'conv_s2s': (4, 18), 'transformer': (1, 22)}


@pytest.fixture(scope='module', autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope='module', params=NETWORKS)
def network(request):
    """A network, variables under which it writes several translations, sources, and what greedy writes."""
    model = tiny(request.param)
    scale, seed = NETWORKS[request.param]
    variables = jax.tree.map(lambda leaf: leaf * scale, filled(shapes_of(model, 5, 4)[0], seed))
    source = sentences([5, 1, 3, 4, 2, 5, 3, 4])
    return model, variables, source, np.asarray(compiled(greedy, model, LENGTH)(variables, source))


@pytest.fixture(scope='module')
def likelihoods_after(network):
    """Of each source the log-likelihoods of what follows WIDTH rows of tokens, by the whole network at once."""
    model, variables, source, _ = network
    call = once(partial(model.apply, train=False))

    def likelihoods(rows, position):
        target = np.insert(rows[..., :-1], 0, BEGIN, axis=2).reshape(-1, LENGTH)
        logits = np.asarray(call(variables, np.repeat(source, WIDTH, axis=0), target))[:, position]
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        logs[:, [PADDING, BEGIN]] = -np.inf
        return logs.reshape(len(source), WIDTH, -1)

    return likelihoods


def compiled(how, model, *args):
    """Of variables and sources, and what else it is to take."""
    return once(lambda variables, source, *more: how(model, variables, source, *args, *more))


def test_greedy_is_asking_the_whole_network_for_each_token(network, likelihoods_after):
    _, _, source, written = network
    rows = np.full((len(source), WIDTH, LENGTH), PADDING, np.int32)
    for position in range(LENGTH):
        ended = (rows == END).any(2)
        rows[:, :, position] = np.where(ended, PADDING, likelihoods_after(rows, position).argmax(2))
    assert written.dtype == np.int32
    np.testing.assert_array_equal(written, rows[:, 0])
    assert len({tuple(row) for row in written}) > 6


def test_a_beam_of_one_is_greedy(network):
    model, variables, source, written = network
    np.testing.assert_array_equal(compiled(beam_search, model, LENGTH, 1, 0.6)(variables, source), written)


def test_a_narrow_beam_keeps_the_likeliest_beginnings(network, likelihoods_after):
    """By hand: of all that come of the beginnings kept before, the likeliest are kept, ended ones among them."""
    model, variables, source, written = network
    kept, swapped = [[((), 0.0)] for _ in source], 0
    for position in range(LENGTH):
        rows = np.full((len(source), WIDTH, LENGTH), PADDING, np.int32)
        for i, each in enumerate(kept):
            for j, (tokens, _) in enumerate(each):
                rows[i, j, : len(tokens)] = tokens
        logs = likelihoods_after(rows, position)
        for i, each in enumerate(kept):
            after = [(tokens, score, j) for j, (tokens, score) in enumerate(each) if END in tokens]
            for j, (tokens, score) in enumerate(each):
                if END not in tokens:
                    after += [((*tokens, token), score + logs[i, j, token], j) for token in range(END, VOCAB)]
            after = sorted(after, key=lambda one: -one[1])[:WIDTH]
            swapped += position > 0 and [j for *_, j in after] != list(range(WIDTH))
            kept[i] = [one[:2] for one in after]
    best = [max(each, key=lambda one: one[1] / ((5 + len(one[0])) / 6) ** 0.6)[0] for each in kept]
    found = np.asarray(compiled(beam_search, model, LENGTH, WIDTH, 0.6)(variables, source))
    assert found.tolist() == [[*tokens, *[PADDING] * (LENGTH - len(tokens))] for tokens in best]
    # Beginnings did change places, and what the network keeps of them with them.
    assert swapped > LENGTH
    assert (found != written).any()


def assert_are_translations(rows):
    for row in rows.tolist():
        whole = row[: row.index(END) + 1] if END in row else row
        assert not {PADDING, BEGIN} & set(whole)
        assert set(row[len(whole) :]) <= {PADDING}


def test_nothing_comes_after_the_end_and_no_padding_or_beginning_before_it():
    model = tiny('seq2seq')
    variables = filled(shapes_of(model, 5, 4)[0], seed=5)
    source = sentences([5, 1, 3, 4, 2, 5, 3, 4])
    bias = variables['params']['softmax']['bias']
    searches = compiled(greedy, model, LENGTH), compiled(beam_search, model, LENGTH, 5, 0.6)
    assert bias.shape == (VOCAB,)
    ended = set()
    for of_end in (-9, 0, 0.5, 9):
        # What is never written is the likeliest throughout.
        bias[[PADDING, BEGIN, END]] = 50, 40, of_end
        for search in searches:
            rows = np.asarray(search(variables, source))
            assert_are_translations(rows)
            ended |= {row.index(END) if END in row else LENGTH for row in rows.tolist()}
    assert {0, LENGTH} < ended  # at once, never, and between


# What else they are made of, and what their variables are drawn by, so that the best is another of another source.
SMALL_NETWORKS = {
    'seq2seq_attention': ({'dropout': 0.0}, 39),
    'transformer_pre_norm': ({'dropout': 0.0, 'encoder_layers': 1, 'decoder_layers': 1}, 37),
}
SMALL, SHORT = 6, 4  # tokens, and tokens of a translation at most


def all_translations():
    """Every row of tokens that can be written: (n, SHORT)."""
    words = range(END + 1, SMALL)
    rows = list(itertools.product(words, repeat=SHORT))
    for length in range(SHORT):
        rows += [(*row, END, *[PADDING] * (SHORT - 1 - length)) for row in itertools.product(words, repeat=length)]
    return np.array(rows, np.int32)


@pytest.fixture(scope='module', params=SMALL_NETWORKS)
def small(request):
    """A network of few tokens, and of each source the log-likelihood of every translation that there is."""
    name, (options, seed) = request.param, SMALL_NETWORKS[request.param]
    make = model_entry(name).network
    model = make(source_vocab=SMALL, target_vocab=SMALL, dtype=np.float64, **SIZES[name] | options)
    variables = jax.tree.map(lambda leaf: 2 * leaf, filled(shapes_of(model, 4, 4)[0], seed))
    source = np.where(sentences([4, 1, 3, 2, 4, 3]) > 0, sentences([4, 1, 3, 2, 4, 3]) % 3 + 3, 0).astype(np.int32)
    rows = all_translations()
    before = np.insert(rows, 0, BEGIN, axis=1)[:, :-1]
    call = once(partial(model.apply, train=False))
    found = []
    for one in source:
        logits = np.asarray(call(variables, np.tile(one, (len(rows), 1)), before))
        logs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
        each = np.take_along_axis(logs, rows[:, :, None], axis=2)[:, :, 0]
        found.append(np.where(rows != PADDING, each, 0).sum(1))
    return model, variables, source, np.array(found)


def best_of(likelihoods, penalty):
    """Of each source the best of all translations: of the greatest log-likelihood over ((5 + tokens) / 6)^penalty."""
    rows = all_translations()
    lengths = (rows != PADDING).sum(1)
    return rows[np.argmax(likelihoods / ((5 + lengths) / 6) ** penalty, axis=1)]


def test_a_beam_as_wide_as_all_translations_finds_the_best_of_them(small):
    model, variables, source, likelihoods = small
    count = len(all_translations())
    assert count == 3**4 + 3**3 + 3**2 + 3 + 1
    search = compiled(beam_search, model, SHORT, count)
    for penalty in (0.0, 0.6, 3.0):
        np.testing.assert_array_equal(search(variables, source, penalty), best_of(likelihoods, penalty))
    # Or the above would show little: the best is neither what is likeliest step by step, nor so under any penalty.
    assert (best_of(likelihoods, 0) != best_of(likelihoods, 3)).any()
    assert (best_of(likelihoods, 0) != compiled(greedy, model, SHORT)(variables, source)).any()
