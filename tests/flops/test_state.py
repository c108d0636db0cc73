"""What a program changes in place is a result, and what reaches none costs nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from jax import lax

from efficiency.flops import CountError, count


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


X, W = f32(4, 8), f32(8, 8)
ONE = 4 * 8 * 8


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(8, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.second = nnx.Linear(16, 3, rngs=rngs)

    def features(self, x):
        return nnx.relu(self.norm(self.first(x)))

    def __call__(self, x):
        return self.second(self.features(x))

    def _hidden(self, x):
        return self.first(x)

    @nnx.jit
    def compiled(self, x):
        return self(x)


class Block(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b = nnx.Linear(8, 8, rngs=rngs), nnx.Linear(8, 8, rngs=rngs)

    @nnx.remat
    def __call__(self, x):
        return self.b(nnx.tanh(self.a(x)))


class Blocks(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([Block(rngs), Block(rngs)])

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def net():
    return Net(nnx.Rngs(0))


@pytest.fixture
def optimizer(net):
    return nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)


# Each layer's forward pass and the gradient of its kernel, and the gradient of what the second takes.
TRAINING = {'Net/first': 2 * 4 * 8 * 16, 'Net/second': 3 * 4 * 16 * 3}


def train(model, optimizer, x):
    loss, gradients = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


def train_without_a_result(model, optimizer, x):
    train(model, optimizer, x)


def test_what_is_bound_to_a_function_is_among_its_arguments(net, optimizer):
    assert count(partial(train, net, optimizer), X).dense_macs == sum(TRAINING.values())


@pytest.mark.parametrize('step', [train, nnx.jit(train), train_without_a_result, nnx.jit(train_without_a_result)])
def test_a_step_that_updates_modules_counts_its_gradients(step, net, optimizer):
    # A step that jax has traced before is not taken for that trace, which has no layers.
    step(net, optimizer, jnp.ones(X.shape))
    layers = count(step, net, optimizer, X).by_layer()
    assert {layer: part.dense_macs for layer, part in layers.items()} == TRAINING


def test_layers_of_nnx_modules_are_named_by_their_attributes(net):
    once = {'Net/first': 4 * 8 * 16, 'Net/second': 4 * 16 * 3}
    blocks = Blocks(nnx.Rngs(0))
    stack = nnx.Sequential(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), nnx.tanh, nnx.Linear(8, 3, rngs=nnx.Rngs(0)))
    for program, args, layers in (
        (lambda model, x: model(x), (net, X), once),
        (lambda x: jnp.tanh(stack(x)), (X,), {'Sequential/layers/0': ONE, 'Sequential/layers/2': 4 * 8 * 3}),
        (lambda model, x: model.features(x), (net, X), {'Net/first': 4 * 8 * 16}),
        (lambda model, x: model(x), (stack, X), {'Sequential/layers/0': ONE, 'Sequential/layers/2': 4 * 8 * 3}),
        (stack, (X,), {'Sequential/layers/0': ONE, 'Sequential/layers/2': 4 * 8 * 3}),
        (net._hidden, (X,), {'Net/first': 4 * 8 * 16}),
        (net.compiled, (X,), once),
        (blocks, (X,), {f'Blocks/blocks/{i}/{part}': ONE for i in range(2) for part in 'ab'}),
    ):
        assert {layer: part.dense_macs for layer, part in count(program, *args).by_layer().items()} == layers
    # As they were: a module's class is as it was found.
    assert net(jnp.ones(X.shape)).shape == (4, 3)
    assert not hasattr(Net.__call__, '__wrapped__')


def test_a_module_that_is_changed_must_be_an_argument(net, optimizer):
    with pytest.raises(CountError, match='pass modules and optimizers beside the function'):
        count(lambda x: train(net, optimizer, x), X)


def test_containers_that_are_changed_are_results():
    def step(state, x):
        state['out'] = x @ state['w']

    assert count(step, {'w': W}, X).dense_macs == ONE


class Trainer:
    """State in plain attributes."""

    def __init__(self):
        self.params = jnp.ones((8, 8))

    def step(self, x):
        gradient = jax.grad(lambda params: jnp.sum((x @ params) ** 2))(self.params)
        self.params -= gradient

    __call__ = step


COLLECTED = []


def test_what_plain_objects_hold_is_a_result_and_stays_as_it_was():
    trainer, seen = Trainer(), {}
    # A forward pass, and the gradient of the parameters.
    for program, args in ((trainer.step, (X,)), (trainer, (X,)), (lambda t, x: t.step(x), (trainer, X))):
        assert count(program, *args).dense_macs == 2 * ONE
        assert (trainer.params == 1).all()
    assert count(lambda x, w: seen.update(y=x @ w), X, W).dense_macs == ONE
    assert count(lambda x, w: COLLECTED.append(x @ w), X, W).dense_macs == ONE
    assert not seen
    assert not COLLECTED


def kept(x, w):
    """Adds to a reference of its own."""
    total = jax.new_ref(jnp.zeros(x.shape))
    total[...] += x @ w
    return total[...]


def forgotten(x, w):
    total = jax.new_ref(jnp.zeros(x.shape))
    total[...] += x @ w
    return x


def scanned(x, w):
    state = jax.new_ref(x)

    def body(carry, _):
        state[...] = state[...] @ w
        return carry, None

    lax.scan(body, 0, length=5)
    return state[...]


def overwritten(x, w):
    state = jax.new_ref(x)
    state[...] = x @ w
    state[...] = x
    return state[...]


def written_after_it_is_read(x, w):
    state = jax.new_ref(x)
    before = state[...]
    state[...] = x @ w
    return before


def one_after_another(x, w):
    """Each gets what the next one had: two of three products are too late for the first."""
    first, second, third, last = (jax.new_ref(x) for _ in range(4))
    step = jax.jit(lambda to, of: to.__setitem__(..., of[...] @ w))
    step(first, second)
    step(second, third)
    step(third, last)
    return first[...]


def in_part(x, w):
    state = jax.new_ref(x)

    def body(carry, _):
        state[0:2] = state[0:2] @ w
        return carry, None

    lax.scan(body, 0, length=4)
    return state[...]


def read_in_the_next_turn(x, w):
    state, result = jax.new_ref(x), jax.new_ref(x)

    def body(carry, _):
        result[...] = state[...] + 1
        state[...] = x @ w
        return carry, None

    lax.scan(body, 0, length=5)
    return result[...]


def branching(x, w):
    state = jax.new_ref(x)

    def write():
        state[...] = state[...] @ w

    lax.cond(x[0, 0] > 0, write, lambda: None)
    return state[...]


@pytest.mark.parametrize(
    ('program', 'macs'),
    [
        (kept, ONE), (forgotten, 0), (scanned, 5 * ONE), (read_in_the_next_turn, 5 * ONE), (branching, ONE),
        (overwritten, 0), (written_after_it_is_read, 0), (one_after_another, ONE), (in_part, 4 * ONE // 2),
    ],
)  # fmt: skip
def test_what_a_reference_holds_in_the_end_is_a_result(program, macs):
    assert count(program, X, W).dense_macs == macs
    assert count(jax.jit(program), X, W).dense_macs == macs


def test_a_reference_from_outside_is_a_result():
    outside = jax.new_ref(jnp.zeros(X.shape))

    def write(reference, x, w):
        reference[...] = x @ w

    assert count(write, outside, X, W).dense_macs == ONE
    assert count(lambda x, w: write(outside, x, w), X, W).dense_macs == ONE


def both(x, y):
    """Two values that are carried on apart, in a loop of unknown length and in one of known."""
    n = jnp.max(x).astype(int)
    unknown = lax.while_loop(lambda c: c[2] < n, lambda c: (c[0] * 2, c[1] @ c[1], c[2] + 1), (x, y, 0))
    known, _ = lax.scan(lambda c, _: ((c[0] * 2, c[1] @ c[1]), None), (x, y), length=3)
    return unknown, known


def test_what_is_carried_beside_a_result_is_not_counted():
    assert count(lambda x: (both(x, x)[0][0], both(x, x)[1][0]), W).dense_macs == 0
    assert count(lambda x: (both(x, x)[0][1], both(x, x)[1][1]), W, trip_count=7).dense_macs == (7 + 3) * 8**3


def test_what_the_condition_of_a_loop_needs_is_counted():
    def loop(x, w):
        return lax.while_loop(lambda c: jnp.sum(c[1]) > 0, lambda c: (c[0] + 1, c[1] @ w), (x, x))[0]

    assert count(loop, X, W, trip_count=2).dense_macs == 2 * ONE
