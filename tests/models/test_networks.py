"""The networks are the published ones: parameters and multiply-adds to the last one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.errors import UserError
from efficiency.flops import count
from efficiency.models import create_model, list_models, model_entry, ops
from efficiency.models.initializers import initialise
from efficiency.models.layers import BatchNorm, adaptive_avg_pool

# Parameters and dense forward multiply-adds at 224 pixels and 1000 classes. AlexNet: torchvision 0.29.1, by torch's
# FlopCounterMode. ShuffleNet v1 1x g=3: parameters as osmr/imgclsmob lists them, macs by a layer-by-layer sum.
PUBLISHED = {'alexnet': (61_100_840, 714_188_480), 'shufflenet_v1_x1_0': (1_865_728, 137_460_672)}
# Upper bounds on the forward macs of the small-image form at 28 pixels and 10 classes, in millions.
SMALL_LIMITS = {'alexnet': 60, 'shufflenet_v1_x1_0': 15}


def shapes(name, num_classes, image_size):
    model = create_model(name, num_classes, image_size)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    return model, jax.eval_shape(lambda key, x: model.init(key, x, False), jax.random.key(0), image), image


def forward_macs(name, num_classes, image_size):
    model, variables, image = shapes(name, num_classes, image_size)
    return count(lambda v, x: model.apply(v, x, False), variables, image).dense_macs


@pytest.mark.parametrize('name', list_models())
def test_parameters_and_macs_are_the_published_ones(name):
    _, variables, _ = shapes(name, 1000, 224)
    params = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    assert (params, forward_macs(name, 1000, 224)) == PUBLISHED[name]


@pytest.mark.parametrize('name', list_models())
def test_small_images_cost_little_and_still_fit(name):
    assert forward_macs(name, 10, 28) <= SMALL_LIMITS[name] * 1e6
    for size in (24, 25, 31, 32, 48, 64):
        assert forward_macs(name, 10, size) > 0


@pytest.mark.parametrize('name', list_models())
@pytest.mark.parametrize('size', [28, 32])
def test_the_last_map_of_a_small_image_is_two_to_four_pixels(name, size):
    model, variables, image = shapes(name, 10, size)
    _, maps = jax.eval_shape(
        lambda v, x: model.apply(v, x, False, capture_intermediates=True, mutable=['intermediates']), variables, image
    )
    last = [leaf.shape for leaf in jax.tree.leaves(maps) if leaf.ndim == 4][-1]
    sizes = {leaf.shape[1] for leaf in jax.tree.leaves(maps) if leaf.ndim == 4}
    assert 2 <= min(sizes) <= 4, last


@pytest.mark.parametrize('name', list_models())
def test_loss_and_gradients_do_not_depend_on_the_formulation(name):
    # In float64, where two orders of summation agree and a wrong formula does not.
    with jax.enable_x64(True):
        model = create_model(name, 10, 28, jnp.float64)
        variables = jax.tree.map(lambda a: a.astype(np.float64), initialise(model, jax.random.key(0), 28))
        x = np.random.RandomState(0).standard_normal((4, 28, 28, 3))

        def loss(params):
            logits, _ = model.apply(
                variables | {'params': params}, x, True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(1)}
            )
            return jnp.sum(jax.nn.logsumexp(logits, axis=1) - logits[:, 3])

        both = {}
        for formulation in ('stock', 'cpu'):
            with ops.override(formulation):
                both[formulation] = jax.jit(jax.value_and_grad(loss))(variables['params'])
        for stock, ours in zip(*map(jax.tree.leaves, both.values()), strict=True):
            np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-4 * np.abs(stock).max() + 1e-12)


# Running `init` operation by operation takes a deep network long.
@pytest.mark.parametrize(
    'name', [name if name == 'alexnet' else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_initialise_gives_what_init_gives(name):
    model = create_model(name, 10, 28)
    fast = initialise(model, jax.random.key(3), 28)
    plain = model.init(jax.random.key(3), jnp.zeros((1, 28, 28, 3)), False)
    assert jax.tree.structure(fast) == jax.tree.structure(plain)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, fast, plain)))
    other = initialise(model, jax.random.key(4), 28)
    kernels = [variables['params']['conv1']['kernel'] for variables in (fast, other)]
    assert not np.array_equal(*kernels)


def test_batch_norm_is_torchs():
    x = np.random.RandomState(0).standard_normal((3, 2, 2, 5)).astype(np.float32)
    norm = BatchNorm(train=True)
    y, updated = norm.apply(norm.init(jax.random.key(0), x), x, mutable=['batch_stats'])
    flat = x.reshape(-1, 5)
    np.testing.assert_allclose(y, (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(updated['batch_stats']['mean'], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(updated['batch_stats']['var'], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize('size', [1, 5, 6, 7, 13])
def test_adaptive_pool_averages_even_shares(size):
    x = np.random.RandomState(0).standard_normal((2, size, size, 3)).astype(np.float32)
    y = np.asarray(adaptive_avg_pool(x, 6))
    for i in range(6):
        for j in range(6):
            rows = slice(i * size // 6, -(-(i + 1) * size // 6))
            columns = slice(j * size // 6, -(-(j + 1) * size // 6))
            np.testing.assert_allclose(y[:, i, j], x[:, rows, columns].mean((1, 2)), rtol=1e-4, atol=1e-6)


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UserError, match='shufflenet_v1_x1_0'):
        create_model('shufflenet_v1')


def test_entries_say_where_and_when():
    entry = model_entry('shufflenet_v1_x1_0')
    assert (entry.paper, entry.published.isoformat(), entry.image_size) == ('arXiv:1707.01083', '2017-07-03', 224)
