"""What may be relied on of every network: padding, decoding, dropout, training, and who can be had by which name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from efficiency.errors import UserError
from efficiency.layers.initializers import drawn
from efficiency.tasks.translation.loss import smoothed_loss
from efficiency.tasks.translation.networks import create_model, list_models, model_entry
from tests.tasks.translation.networks.tiny import SIZES, VOCAB, filled, named, once, sentences, shapes_of, tiny

SOURCE, TARGET = sentences([4, 1, 6, 3]), sentences([5, 5, 5, 5], seed=2)
N, T = TARGET.shape


@pytest.fixture(autouse=True)
def _forget_programs():
    """Each test compiles programs of its own, which would fill the memory."""
    yield
    jax.clear_caches()


@pytest.mark.parametrize('name', SIZES)
def test_decoding_and_padding_change_no_logits(name):
    model = tiny(name)
    variables = filled(shapes_of(model, 6, T)[0])
    padded = np.pad(SOURCE, ((0, 0), (0, 2)))
    # As a beam search takes them: each sentence twice, then in another order at every step.
    twice, order = np.repeat(np.arange(N), 2), np.array([1, 0, 3, 2, 5, 4, 7, 6])

    @once
    def logits(variables):
        whole = model.apply(variables, SOURCE, TARGET, False)
        more = model.apply(variables, padded, np.pad(TARGET, ((0, 0), (0, 3))), False)[:, :T]
        memory = jax.tree.map(lambda leaf: leaf[twice], model.apply(variables, padded, method='encode'))

        def step(carry, inputs):
            position, tokens = inputs
            carry = jax.tree.map(lambda leaf: leaf[order], carry)
            return model.apply(variables, memory, carry, tokens[twice], position, method='step')

        carry = model.apply(variables, memory, T + 1, method='start')
        _, decoded = jax.lax.scan(step, carry, (np.arange(T), TARGET.T))
        return whole, more, decoded.swapaxes(0, 1)[::2]

    with jax.enable_x64(True):
        whole, more, decoded = map(np.asarray, logits(variables))
    assert whole.dtype == np.float64
    assert whole.shape == (N, T, VOCAB)
    assert np.ptp(whole, axis=(0, 1)).min() > 1e-3
    np.testing.assert_allclose(more, whole, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(decoded, whole, rtol=1e-10, atol=1e-12)


# From the initial values of the largest networks such small ones start slowly.
@pytest.mark.parametrize(
    'name',
    [
        'seq2seq', 'gnmt', 'conv_s2s', 'transformer',
        *(pytest.param(name, marks=pytest.mark.slow) for name in (
            'seq2seq_attention', 'conv_s2s_paper', 'transformer_pre_norm',
        )),
    ],
)  # fmt: skip
def test_it_learns_a_small_batch_beside_a_row_of_padding_alone(name):
    model = tiny(name, np.float32, dropout=0.1)
    source = np.concatenate([SOURCE, np.zeros_like(SOURCE[:1])])
    target = np.concatenate([TARGET, np.zeros_like(TARGET[:1])])
    shapes = (jax.ShapeDtypeStruct(batch.shape, jnp.int32) for batch in (source, target[:, :-1]))
    variables, logits = drawn(model, jax.random.key(0), *shapes)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, logits))} == {np.dtype(np.float32)}
    optimizer = optax.adam(0.02)

    def loss_of(params, key):
        logits = model.apply({'params': params}, source, target[:, :-1], True, rngs={'dropout': key})
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, target[:, 1:])
        return losses[:-1].mean() + 0 * losses.sum()

    @once
    def train(params):
        def step(carry, key):
            params, state = carry
            loss, gradients = jax.value_and_grad(loss_of)(params, key)
            updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(params, updates), state), (loss, optax.tree.norm(gradients))

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 60))[1]

    losses, norms = map(np.asarray, train(variables['params']))
    assert np.isfinite(norms).all()
    assert losses[0] == pytest.approx(np.log(VOCAB), rel=0.5)
    assert losses[-1] < 0.6 * losses[0]


def test_an_ensemble_is_the_mean_of_what_its_members_say_and_each_learns_as_alone():
    model, alone = tiny('seq2seq_ensemble', np.float64), tiny('seq2seq', np.float64)
    variables = filled(shapes_of(model, 6, T)[0])
    batch = {'source': SOURCE, 'target': np.pad(TARGET, ((0, 0), (1, 0)), constant_values=1)}
    members = [{'params': variables['params'][f'networks_{i}']} for i in range(2)]

    @once
    def found(variables, members):
        said = model.apply(variables, SOURCE, TARGET, False)
        each = [jax.nn.softmax(alone.apply(member, SOURCE, TARGET, False)) for member in members]

        def loss(network, params):
            return smoothed_loss(network, 0.1, params, {}, batch, jax.random.key(0))[0]

        together = jax.grad(lambda params: loss(model, params))(variables['params'])
        apart = [jax.grad(lambda params: loss(alone, params))(member['params']) for member in members]
        return jax.nn.softmax(said), sum(each) / 2, together, apart

    with jax.enable_x64(True):
        said, mean, together, apart = found(variables, members)
    np.testing.assert_allclose(said, mean, rtol=1e-12)
    for i, gradients in enumerate(apart):
        # A half of the loss is each one's.
        jax.tree.map(
            lambda ours, own: np.testing.assert_allclose(ours, own / 2, rtol=1e-6, atol=1e-9),
            together[f'networks_{i}'],
            gradients,
        )


@pytest.mark.parametrize('name', ['seq2seq', 'seq2seq_attention', 'gnmt', 'conv_s2s', 'transformer'])
def test_dropout_is_in_training_alone_and_of_its_stream(name):
    model = tiny(name, np.float32, dropout=0.3)
    variables = filled(shapes_of(model, 6, T)[0])

    @once
    def logits(variables, keys):
        evaluated = model.apply(variables, SOURCE, TARGET, False)
        return evaluated, [model.apply(variables, SOURCE, TARGET, True, rngs={'dropout': key}) for key in keys]

    evaluated, (one, same, other) = logits(variables, [jax.random.key(seed) for seed in (0, 0, 1)])
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - evaluated).max() > 1e-3


@pytest.mark.parametrize('name', ['seq2seq', 'seq2seq_attention', 'gnmt', 'conv_s2s', 'transformer'])
def test_in_bfloat16_parameters_and_logits_stay_float32(name):
    model = tiny(name, jnp.bfloat16)
    variables, source, target = shapes_of(model, 6, T)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    memory = jax.eval_shape(lambda v, source: model.apply(v, source, method='encode'), variables, source)
    logits = jax.eval_shape(lambda v, *pair: model.apply(v, *pair, False), variables, source, target)
    assert logits.dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(memory)} <= {np.dtype(bool), np.dtype(jnp.bfloat16)}


def initial(name, **options):
    pair = [jax.ShapeDtypeStruct((1, 2), jnp.int32)] * 2
    return drawn(create_model(name, 500, 500, options=options), jax.random.key(5), *pair)[0]['params']


def test_initial_values_are_the_papers():
    params = drawn(
        model_entry('seq2seq_paper').network(source_vocab=50, target_vocab=50, width=20, embedding=20),
        jax.random.key(0), *[jax.ShapeDtypeStruct((1, 2), jnp.int32)] * 2,
    )[0]['params']  # fmt: skip
    for leaf in jax.tree.leaves(params):
        assert 0.06 < np.abs(leaf).max() <= 0.08
        assert abs(leaf.mean()) < 5 * 0.08 / np.sqrt(3 * leaf.size)
    params = initial('transformer', encoder_layers=1, decoder_layers=1)
    assert params['embedding']['embedding'].std() == pytest.approx(128**-0.5, rel=0.02)
    hidden = params['encoder_0']['feed_forward']['hidden']['kernel']
    assert np.abs(hidden).max() == pytest.approx((6 / (128 + 256)) ** 0.5, rel=0.01)
    params = initial('conv_s2s')
    kernel, scale = (params['decoder_1']['conv'][kind] for kind in ('kernel', 'scale'))
    assert kernel.std() == pytest.approx((4 * 0.9 / (3 * 256)) ** 0.5, rel=0.02)
    np.testing.assert_allclose(scale, np.linalg.norm(kernel, axis=0), rtol=0.2)
    params = initial('gnmt')
    assert params['source_embedding']['embedding'].std() == pytest.approx(0.1, rel=0.02)


def test_initial_values_are_of_the_key_alone_in_a_program_too():
    model = tiny('gnmt', np.float32)
    pair = np.ones((1, 2), np.int32), np.ones((1, 3), np.int32)
    shapes = [jax.ShapeDtypeStruct(tokens.shape, jnp.int32) for tokens in pair]
    expected, _ = drawn(model, jax.random.key(7), *shapes)
    found = once(lambda key: model.init(key, *pair, False))(jax.random.key(7))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_names_and_what_is_said_of_them():
    assert list_models('transformer_b*') == ['transformer_base', 'transformer_big']
    assert set(SIZES) | {'transformer_base', 'transformer_big', 'transformer_deep_encoder'} == set(list_models())
    dates = {name: model_entry(name).published.isoformat() for name in list_models()}
    assert dates['seq2seq_paper'] == '2014-09-10'
    assert dates['transformer'] == '2017-06-12'
    # The published sizes have the published vocabularies, and others where that is asked for.
    model = named('seq2seq_paper')
    assert (model.source_vocab, model.target_vocab) == (160_000, 80_000)
    assert create_model('gnmt_paper', target_vocab=50).target_vocab == 50
    assert create_model('seq2seq', 10, 20, options={'width': 32, 'dropout': 0.5}).width == 32


@pytest.mark.parametrize(
    ('name', 'arguments', 'says'),
    [
        ('transformers', {}, 'no model is named .*transformer'),
        ('gnmt', {}, 'gnmt is of no published vocabulary; source_vocab must say'),
        ('gnmt', {'source_vocab': 10, 'target_vocab': 3}, 'target_vocab is 3; it must be a whole number above 3'),
        ('gnmt', {'source_vocab': 9.5, 'target_vocab': 9}, 'source_vocab is 9.5; it must be'),
        ('gnmt_paper', {'options': {'heads': 2}}, "has no option 'heads'; it has dropout"),
        (
            'seq2seq',
            {'source_vocab': 9, 'target_vocab': 9, 'options': {'layers': 0}},
            'layers of seq2seq is 0; it must be',
        ),
        ('transformer_base', {'options': {'dropout': 1.0}}, 'dropout of transformer_base is 1.0; it must be a share'),
        ('seq2seq_paper', {'options': {'dropout': 1}}, 'dropout of seq2seq_paper is 1; it must be a share'),
    ],
)
def test_mistakes_in_a_name_or_its_arguments(name, arguments, says):
    with pytest.raises(UserError, match=says):
        create_model(name, **arguments)


@pytest.mark.parametrize(
    ('name', 'vocabs', 'options', 'length', 'says'),
    [
        ('transformer', (9, 8), {}, 3, 'source_vocab 9 and target_vocab 8 must be equal'),
        ('seq2seq_attention', (9, 9), {'width': 7}, 3, 'width 7 is odd'),
        ('transformer', (9, 9), {'heads': 5}, 3, '5 heads cannot share a width of 128'),
        ('conv_s2s', (9, 9), {}, 257, 'a sentence of 257 tokens is longer than the 256 positions'),
    ],
)
def test_mistakes_found_when_it_is_applied(name, vocabs, options, length, says):
    with pytest.raises(UserError, match=says):
        shapes_of(create_model(name, *vocabs, options=options), length, 3)
