"""What may be relied on of every network: what its logits depend on, dropout, training, and its parts' dates."""

import datetime

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from efficiency.errors import UserError
from efficiency.layers.initializers import drawn
from efficiency.tasks.language.networks import create_model, list_models, model_entry
from efficiency.tasks.language.networks.blocks import activation_of
from tests.tasks.language.networks.small import LENGTH, OPTIONS, SIZES, VOCAB, filled, inputs_of, shapes_of, small

CAUSAL = ['transformer_lm', 'transformer_gpt', 'lstm', 't5', *OPTIONS]


@pytest.fixture(autouse=True, scope='module')
def compiled_quickly():
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


def logits_of(model, variables, *inputs, **more):
    with jax.enable_x64(True):
        return np.asarray(model.apply(variables, *inputs, train=False, **more))


@pytest.mark.parametrize('name', CAUSAL)
def test_no_logits_depend_on_what_follows_and_all_on_what_is_before(name):
    model, (*source, tokens) = small(name), inputs_of(name)
    variables = filled(shapes_of(model, *source, tokens))
    whole = logits_of(model, variables, *source, tokens)
    assert (whole.shape, whole.dtype) == ((3, LENGTH, VOCAB), np.float64)
    for place in range(LENGTH):
        other = tokens.copy()
        other[:, place] = (tokens[:, place] - 3) % (VOCAB - 4) + 4
        changed = np.abs(logits_of(model, variables, *source, other) - whole).max(-1)
        assert (changed[:, :place] == 0).all()
        assert (changed[:, place] > 1e-6).all()
        if 'experts' not in name:  # of which a token may have found no room
            assert (changed[:, place:] > 1e-9).all()


@pytest.mark.parametrize('name', ['bert', 't5'])
def test_padding_of_what_is_read_changes_no_logits(name):
    read = 0
    model, inputs = small(name, context=LENGTH + 5), inputs_of(name)
    padded = [np.pad(each, ((0, 0), (0, 3))) if i == read else each for i, each in enumerate(inputs)]
    variables = filled(shapes_of(model, *inputs))
    whole, more = logits_of(model, variables, *inputs), logits_of(model, variables, *padded)
    np.testing.assert_allclose(more[:, :LENGTH], whole, rtol=1e-10, atol=1e-12)
    other = inputs[read].copy()
    other[:, -1] = 3  # what is last is seen from everywhere
    assert (np.abs(logits_of(model, variables, other, *inputs[1:]) - whole).max(-1) > 1e-9).all()


def test_rotary_positions_know_distances_alone():
    model = small('transformer_lm', layers=1)
    (tokens,) = inputs_of('transformer_lm', length=4)
    variables = filled(shapes_of(model, tokens))
    # What stands before is one token again and again, so that only how far away it is can be told.
    rows = [np.concatenate([np.full((3, n), 5, np.int32), tokens], axis=1) for n in (1, 2)]
    one, two = (logits_of(model, variables, row)[:, 0] for row in rows)
    np.testing.assert_allclose(one, two, rtol=1e-12)
    orders = [logits_of(model, variables, tokens[:, order])[:, -1] for order in ([0, 1, 2, 3], [1, 0, 2, 3])]
    assert np.abs(orders[0] - orders[1]).max() > 1e-6


def test_without_positions_the_order_of_what_is_before_is_not_seen():
    model = small('learned', layers=1)
    (tokens,) = inputs_of('learned', length=4)
    variables = filled(shapes_of(model, tokens))
    variables['params']['positions'] = np.zeros_like(variables['params']['positions'])
    one, other = (logits_of(model, variables, tokens[:, order])[:, -1] for order in ([0, 1, 2, 3], [1, 2, 0, 3]))
    np.testing.assert_allclose(one, other, rtol=1e-10)


def test_shared_keys_and_values_are_those_of_as_many_heads_that_are_alike():
    few, many = small('grouped_query', layers=1), small('grouped_query', layers=1, kv_heads=4)
    (tokens,) = inputs_of('grouped_query')
    variables = filled(shapes_of(few, tokens))
    kernel = variables['params']['blocks_0']['attention']['query_key_value']['kernel']
    query, key, value = np.split(kernel, [16, 24], axis=1)
    repeated = [part.reshape(16, 2, 4).repeat(2, axis=1).reshape(16, 16) for part in (key, value)]
    wide = jax.tree.map(lambda leaf: leaf, variables)
    wide['params']['blocks_0']['attention']['query_key_value'] = {'kernel': np.concatenate([query, *repeated], 1)}
    np.testing.assert_allclose(logits_of(few, variables, tokens), logits_of(many, wide, tokens), rtol=1e-10)


def test_experts_that_are_alike_are_one_network_where_there_is_room():
    model, alone = small('two_experts', layers=1, experts=2), small('relu', layers=1)
    (tokens,) = inputs_of('two_experts')
    variables = filled(shapes_of(alone, tokens))
    block = variables['params']['blocks_0']
    hidden, out = (block['feed_forward'].pop(name)['kernel'] for name in ('hidden', 'out'))
    one = {'params': variables['params'] | {'blocks_0': block | {'feed_forward': {
        'hidden': {'kernel': hidden}, 'out': {'kernel': out}}}}}  # fmt: skip
    mixed = {'params': variables['params'] | {'blocks_0': block | {'feed_forward': {
        'router': np.random.RandomState(4).standard_normal((8, 2)),
        **{f'in_kernel_{i}': hidden for i in range(2)}, **{f'out_kernel_{i}': out for i in range(2)}}}}}  # fmt: skip
    # Both are chosen, with weights that add up to 1; each has room for all.
    np.testing.assert_allclose(logits_of(model, mixed, tokens), logits_of(alone, one, tokens), rtol=1e-10)


def test_a_token_for_which_an_expert_has_no_room_goes_by_and_the_earlier_come_first():
    model = small('experts', layers=1, context=8, experts=4)
    tokens = np.full((1, 8), 5, np.int32)
    variables = filled(shapes_of(model, tokens))
    variables['params']['embedding']['embedding'][:] = 1  # every token is alike, so all choose one expert: room for 3
    without = jax.tree.map(lambda leaf: leaf, variables)
    without['params']['blocks_0']['feed_forward'] = {
        name: np.zeros_like(leaf) if name.startswith('out_kernel') else leaf
        for name, leaf in variables['params']['blocks_0']['feed_forward'].items()
    }
    differ = np.abs(logits_of(model, variables, tokens) - logits_of(model, without, tokens)).max((0, 2)) > 1e-9
    assert differ.tolist() == [True] * 3 + [False] * 5


def test_experts_are_balanced_by_what_is_added_to_the_loss():
    model = small('experts', layers=1, experts=4)
    (tokens,) = inputs_of('experts', n=40)
    variables = filled(shapes_of(model, tokens))
    added = []
    for scale in (0.0, 9.0):
        variables['params']['blocks_0']['feed_forward']['router'] *= scale
        with jax.enable_x64(True):
            _, found = model.apply(variables, tokens, train=True, rngs={}, mutable=['losses'])
        added.append(float(sum(jax.tree.leaves(found))))
        variables = filled(shapes_of(model, tokens))
    # With a router of zeros all are as likely, and the first is chosen: 0.01 x 4 x 1 x 1/4.
    assert added[0] == pytest.approx(0.01)
    assert added[1] > 0.011


def test_activations_are_their_papers():
    x = np.array([-2.0, 0.5, 3.0, 1.0])
    with jax.enable_x64(True):
        found = {name: np.asarray(activation_of(name)(x)) for name in ('relu', 'gelu', 'squared_relu', 'swiglu')}
        exact = np.asarray(activation_of('gelu', exact_gelu=True)(x))
    np.testing.assert_allclose(found['relu'], [0, 0.5, 3, 1])
    np.testing.assert_allclose(found['squared_relu'], [0, 0.25, 9, 1])
    np.testing.assert_allclose(found['swiglu'], [-2 / (1 + np.exp(2)) * 3, 0.5 / (1 + np.exp(-0.5)) * 1])
    cubic = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(found['gelu'], cubic, rtol=1e-6)
    assert 1e-5 < np.abs(exact - cubic).max() < 1e-3


@pytest.mark.parametrize('name', [*SIZES, 'sinusoid', 'two_experts'])
def test_it_learns_a_small_batch(name):
    model, inputs = small(name, np.float32, dropout=0.1), inputs_of(name)
    shapes = [jax.ShapeDtypeStruct(each.shape, jnp.int32) for each in inputs]
    params = drawn(model, jax.random.key(0), *shapes)[0]['params']
    wanted, optimizer = np.roll(inputs[-1], -1, axis=1), optax.adam(0.02)

    def loss_of(params, key):
        logits = model.apply({'params': params}, *inputs, train=True, rngs={'dropout': key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, wanted).mean()

    @jax.jit
    def train(params):
        def step(carry, key):
            params, state = carry
            loss, gradients = jax.value_and_grad(loss_of)(params, key)
            updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 80))[1]

    losses = np.asarray(train(params))
    assert losses[0] == pytest.approx(np.log(VOCAB), rel=0.35)
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize('name', SIZES)
def test_dropout_is_in_training_alone_and_in_bfloat16_parameters_and_logits_stay_float32(name):
    model, inputs = small(name, jnp.bfloat16, dropout=0.3), inputs_of(name)
    variables = shapes_of(model, *inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    assert jax.eval_shape(lambda v: model.apply(v, *inputs, train=False), variables).dtype == np.float32
    model = small(name, np.float32, dropout=0.3)
    variables = jax.tree.map(np.float32, filled(variables))
    one, same, other = (
        np.asarray(model.apply(variables, *inputs, train=True, rngs={'dropout': jax.random.key(seed)}))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_initial_values_are_the_papers():
    def initial(name, **options):
        shape = jax.ShapeDtypeStruct((1, 4), jnp.int32)
        return drawn(create_model(name, 500, 300, options=options), jax.random.key(0), shape)[0]['params']

    params = initial('transformer_gpt', layers=2)
    assert params['embedding']['embedding'].std() == pytest.approx(0.02, rel=0.02)
    attention = params['blocks_1']['attention']
    assert attention['query_key_value']['kernel'].std() == pytest.approx(0.02, rel=0.02)
    assert attention['out']['kernel'].std() == pytest.approx(0.02 / 2, rel=0.02)  # of the root of 2 x 2 sublayers
    params = initial('transformer_lm', layers=2)
    feed_forward = params['blocks_0']['feed_forward']
    assert feed_forward['hidden']['kernel'].std() == pytest.approx(256**-0.5, rel=0.02)
    assert feed_forward['out']['kernel'].std() == pytest.approx(683**-0.5 / 2, rel=0.02)


def test_a_network_is_as_old_as_the_newest_of_its_parts():
    entry = model_entry('transformer_lm')

    def date(**options):
        return entry.published_with(options).isoformat()

    oldest = {'position': 'sinusoid', 'norm': 'post', 'activation': 'relu', 'tied': False}
    assert date(**oldest) == '2017-06-12'
    assert date() == '2021-04-20'  # rotary positions are the newest of today's
    assert date(**oldest | {'norm': 'pre'}) == '2018-09-28'
    assert date(**oldest | {'norm': 'rms'}) == '2019-10-16'
    assert date(**oldest | {'activation': 'swiglu'}) == '2020-02-12'
    assert date(**oldest | {'activation': 'squared_relu'}) == '2021-09-17'
    assert date(**oldest | {'kv_heads': 1}) == '2019-11-06'
    assert date(**oldest | {'kv_heads': 2}) == '2023-05-22'
    assert date(**oldest | {'kv_heads': 4}) == '2017-06-12'  # as many as there are heads
    assert date(**oldest | {'qk_norm': True}) == '2020-10-08'
    assert date(**oldest | {'experts': 4, 'chosen': 2}) == '2020-06-30'
    assert date(**oldest | {'experts': 4}) == '2021-01-11'  # of one expert a token, as Switch has it
    assert model_entry('transformer_gpt').published_with({}) == datetime.date(2019, 2, 14)
    assert model_entry('lstm').published_with({'layers': 3}) == datetime.date(2014, 9, 8)


def test_names_and_published_sizes():
    assert list_models('gpt2_*') == ['gpt2_124m', 'gpt2_1558m', 'gpt2_355m', 'gpt2_774m']
    model = create_model('gpt2_124m')
    assert (model.vocabulary, model.context) == (50_257, 1024)
    assert create_model('gpt2_124m', vocabulary=300, context=9).context == 9
    assert model_entry('t5').objective == 'spans'


@pytest.mark.parametrize(
    ('name', 'arguments', 'says'),
    [
        ('transformer_l', {}, 'no model is named .*transformer_lm'),
        ('lstm', {'context': 9}, 'lstm is of no published vocabulary; vocabulary must say'),
        ('lstm', {'vocabulary': 9}, 'lstm is of no published context; context must say'),
        ('lstm', {'vocabulary': 3, 'context': 9}, 'vocabulary is 3; it must be a whole number, 4 or more'),
        ('gpt2_124m', {'options': {'heads': 2}}, "gpt2_124m has no option 'heads'; it has dropout"),
        ('gpt2_124m', {'options': {'dropout': 1.0}}, 'dropout of gpt2_124m is 1.0; it must be a share'),
        ('transformer_lm', {'options': {'position': 'rotary'}}, "'rotary'; it must be sinusoid or learned or rope"),
        ('transformer_lm', {'options': {'tied': 1}}, 'tied of transformer_lm is 1; it must be True or False'),
        ('transformer_lm', {'options': {'layers': 0}}, 'layers of .* is 0; it must be a whole number above 0$'),
        ('transformer_lm', {'options': {'experts': -1}}, 'experts .* -1; it must be a whole number above 0, or 0 for'),
    ],
)
def test_mistakes_in_a_name_or_its_arguments(name, arguments, says):
    sizes = {} if {'vocabulary', 'context'} & {*arguments} or 'options' not in arguments else {
        'vocabulary': 9, 'context': 9,
    }  # fmt: skip
    with pytest.raises(UserError, match=says):
        create_model(name, **sizes, **arguments)


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        ({'heads': 5}, '5 heads cannot share a width of 256'),
        ({'kv_heads': 3}, '4 heads cannot share 3 of keys and values'),
        ({'heads': 4, 'width': 12}, 'rotary positions turn features by twos, and a head of 12 / 4 has 3'),
        ({'experts': 2, 'chosen': 3}, 'of 2 experts a token cannot choose 3'),
        ({'chosen': 2}, 'chosen is 2, and there are no experts to choose; set experts'),
        ({'experts': 2, 'bias': True}, 'experts have no biases'),
    ],
)
def test_options_that_do_not_fit_one_another(options, says):
    with pytest.raises(UserError, match=says):
        shapes_of(create_model('transformer_lm', 9, 9, options=options), np.zeros((1, 2)))
