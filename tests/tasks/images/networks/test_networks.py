"""The networks are the published ones: parameters and multiply-adds to the last one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from efficiency.count import count_network
from efficiency.errors import UserError
from efficiency.layers import ops
from efficiency.layers.modules import BatchNorm, Conv, StochasticDepth, adaptive_avg_pool
from efficiency.tasks.images.loss import loss_and_stats
from efficiency.tasks.images.networks import create_model, list_models, model_entry
from efficiency.tasks.images.networks.variables import initialise, variable_shapes
from tests.tasks.images.networks.forward import forward_count

# Parameters with 1000 classes, and dense forward multiply-adds at the native size. Those of torchvision 0.29.1's and
# (mobilenet_v1) timm 1.0.31's networks by torch's FlopCounterMode; shufflenet_v1: parameters as osmr/imgclsmob lists
# them, macs by a layer-by-layer sum.
PUBLISHED = {
    'alexnet': (61_100_840, 714_188_480),
    'vgg11': (132_863_336, 7_609_090_048),
    'vgg16': (138_357_544, 15_470_264_320),
    'googlenet': (6_624_904, 1_498_376_192),
    'resnet18': (11_689_512, 1_814_073_344),
    'resnet34': (21_797_672, 3_663_761_408),
    'resnet50': (25_557_032, 4_089_184_256),
    'squeezenet1_0': (1_248_424, 818_924_576),
    'squeezenet1_1': (1_235_496, 349_151_936),
    'wide_resnet50_2': (68_883_240, 11_398_021_120),
    'densenet121': (7_978_856, 2_834_161_664),
    'resnext50_32x4d': (25_028_904, 4_230_479_872),
    'mobilenet_v1': (4_231_976, 568_740_352),
    'shufflenet_v1_x1_0': (1_865_728, 137_460_672),
    'mobilenet_v2': (3_504_872, 300_774_272),
    'shufflenet_v2_x1_0': (2_278_604, 144_907_992),
    'shufflenet_v2_x1_5': (3_503_624, 295_759_392),
    'efficientnet_b0': (5_288_548, 385_814_752),
    'efficientnet_b1': (7_794_184, 686_802_832),
    'efficientnet_b2': (9_109_994, 993_561_872),
    'efficientnet_b3': (12_233_232, 1_827_141_392),
    'efficientnet_b4': (19_341_616, 4_393_771_024),
    'efficientnet_b5': (30_389_784, 10_266_384_752),
    'efficientnet_b6': (43_040_704, 19_067_593_536),
    'efficientnet_b7': (66_347_960, 37_745_884_192),
}
# Upper bounds on the forward macs of the small-image form at 28 pixels and 10 classes, in millions.
SMALL_LIMITS = {
    'alexnet': 60, 'shufflenet_v1_x1_0': 15, 'vgg11': 200, 'resnet50': 350, 'wide_resnet50_2': 850, 'mobilenet_v2': 25,
    'efficientnet_b0': 35,
}  # fmt: skip
# Pixels a side of the last convolution's map at 28 and 32 pixels, as in docs/networks.md; LeNet-5 halves it once more.
LAST_MAPS = {
    'airbench94': (3, 3), 'alexnet': (2, 3), 'densenet': (3, 4), 'efficientnet': (2, 2), 'googlenet': (3, 4),
    'inception_bn': (2, 2), 'lenet5': (8, 10), 'mobilenet': (2, 2), 'resn': (2, 2), 'wide_resnet': (2, 2),
    'shufflenet': (2, 2), 'squeezenet1_0': (2, 3), 'squeezenet1_1': (3, 3), 'vgg': (3, 4), 'whitened_tiny': (5, 6),
}  # fmt: skip
# One network of each family; what is shown of them is shown of the others by the slow tests.
FAMILIES = (
    'alexnet', 'vgg11', 'googlenet', 'inception_bn', 'resnet18', 'resnet50_fixup', 'densenet121', 'squeezenet1_1',
    'mobilenet_v1', 'mobilenet_v2', 'shufflenet_v1_x1_0', 'shufflenet_v2_x1_0', 'efficientnet_b0', 'lenet5',
    'airbench94', 'whitened_tiny',
)  # fmt: skip
DEEP = ('densenet121', 'efficientnet_b0', 'googlenet', 'inception_bn')
LARGE = ('b2', 'b3', 'b4', 'b5', 'b6', 'b7')
ALL = [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]

# Compiled as quickly as may be, for what runs a few times only.
once = partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def shapes(name, num_classes, image_size):
    model = create_model(name, num_classes, image_size)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    return model, variable_shapes(model, image_size), image


def forward_macs(name, num_classes, image_size):
    model, variables, _ = shapes(name, num_classes, image_size)
    return forward_count(model, variables, image_size).dense_macs


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=pytest.mark.slow) if name[-2:] in LARGE else name for name in PUBLISHED]
)
def test_parameters_and_macs_are_the_published_ones(name):
    size = model_entry(name).image_size
    _, variables, _ = shapes(name, 1000, size)
    params = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    assert (params, forward_macs(name, 1000, size)) == PUBLISHED[name]


@pytest.mark.parametrize('name', SMALL_LIMITS)
def test_small_images_cost_little(name):
    assert forward_macs(name, 10, 28) <= SMALL_LIMITS[name] * 1e6


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('size', [28, *[pytest.param(size, marks=pytest.mark.slow) for size in (24, 32, 48, 64)]])
def test_networks_fit_small_images_and_end_in_a_map_of_two_pixels_or_more(name, size):
    model, variables, image = shapes(name, 10, size)
    maps = []

    def note(next_method, args, kwargs, context):
        out = next_method(*args, **kwargs)
        # Squeeze-excite's own convolutions, fc1 and fc2, see the mean of a map.
        if isinstance(context.module, Conv) and context.module.name not in ('fc1', 'fc2'):
            maps.append(out.shape[1])
        return out

    with nn.intercept_methods(note):
        logits = jax.eval_shape(lambda v, x: model.apply(v, x, False), variables, image)
    assert logits.shape == (1, 10)
    if size in (28, 32):
        family = next(family for family in LAST_MAPS if name.startswith(family))
        assert maps[-1] == LAST_MAPS[family][size == 32]
    assert 2 <= maps[-1] <= (4 if size <= 32 else 8) * (4 if name in ('lenet5', 'whitened_tiny') else 1)


# Those whose step takes longest to compile are left to the slow tests.
@pytest.mark.parametrize(
    'name',
    [
        name if name in FAMILIES and name not in DEEP else pytest.param(name, marks=pytest.mark.slow)
        for name in list_models()
    ],
)
def test_a_network_learns_a_small_batch(name):
    model = create_model(name, 10, 32)
    variables = initialise(model, jax.random.key(0), 32)
    draw = np.random.RandomState(0)
    images, labels = draw.standard_normal((8, 32, 32, 3)).astype(np.float32), np.arange(8)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.02, momentum=0.9))

    @once
    def step(params, batch_stats, opt_state, key):
        def loss_of(params):
            return loss_and_stats(model, params, batch_stats, images, labels, key)

        (loss, batch_stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state)
        return optax.apply_updates(params, updates), batch_stats, opt_state, loss

    params, batch_stats = variables['params'], variables.get('batch_stats', {})
    opt_state, losses = optimizer.init(params), []
    for _ in range(8):
        # Always the same draws, so that it is one function that falls.
        params, batch_stats, opt_state, loss = step(params, batch_stats, opt_state, jax.random.key(0))
        losses.append(float(loss))
    assert np.all(np.isfinite(losses))
    assert np.mean(losses[-2:]) < np.mean(losses[:2]), losses


# Compiling both takes a deep network long.
@pytest.mark.parametrize(
    'name',
    [
        name if name in ('alexnet', 'shufflenet_v1_x1_0') else pytest.param(name, marks=pytest.mark.slow)
        for name in list_models()
    ],
)
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
                both[formulation] = once(jax.value_and_grad(loss))(variables['params'])
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
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, fast, other)))


def test_a_network_that_gives_no_logits_is_refused():
    class Wide(nn.Module):
        num_classes: int = 10

        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(7)(x.reshape(len(x), -1))

    with pytest.raises(UserError, match=r'Wide gives \(1, 7\); it must give logits of shape \(1, 10\)'):
        initialise(Wide(), jax.random.key(0), 8)


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


def test_stochastic_depth_leaves_out_whole_images_and_scales_the_others_up():
    x = np.ones((4000, 2, 2, 3), np.float32)
    y = np.asarray(StochasticDepth(0.2, train=True).apply({}, x, rngs={'dropout': jax.random.key(0)}))
    kept = y[:, 0, 0, 0] > 0
    np.testing.assert_allclose(y, np.where(kept, 1 / 0.8, 0)[:, None, None, None] * x)
    assert abs(kept.mean() - 0.8) < 0.02
    np.testing.assert_array_equal(StochasticDepth(0.2, train=False).apply({}, x), x)


def test_fixup_starts_as_its_paper_says():
    model = create_model('resnet50_fixup', 10, 64)
    params = initialise(model, jax.random.key(0), 64)['params']
    for name, block in params.items():
        if not name.startswith('layer'):
            continue
        # Section 3, rule 2: He's deviation times L ** (-1 / (2 m - 2)), of L = 16 branches of m = 3 layers.
        for conv in ('conv1', 'conv2'):
            kernel = block[conv]['kernel']
            expected = 16 ** (-1 / 4) * np.sqrt(2 / (kernel.shape[0] ** 2 * kernel.shape[3]))
            np.testing.assert_allclose(kernel.std(), expected, rtol=0.05)
        assert not block['conv3']['kernel'].any()
        assert block['multiplier'] == 1
    assert not params['fc']['kernel'].any()


@pytest.mark.parametrize(('size', 'classes'), [(0, 10), (-3, 10), ('28', 10), (28, 0)])
def test_a_size_that_cannot_be(size, classes):
    with pytest.raises(UserError, match='must be a whole number above 0'):
        create_model('alexnet', classes, size)


def test_an_option_that_a_network_does_not_have():
    with pytest.raises(UserError, match="alexnet has no option 'auxiliary_heads'; it has none"):
        create_model('alexnet', options={'auxiliary_heads': True})
    with pytest.raises(UserError, match='it has auxiliary_heads, transform_input'):
        create_model('googlenet', options={'dtype': 'float16'})
    with pytest.raises(UserError, match="is 'False'; it must be like False"):
        create_model('googlenet', options={'auxiliary_heads': 'False'})


def test_auxiliary_heads_cost_in_training_alone():
    plain, heads = (count_network('googlenet', options={'auxiliary_heads': on}) for on in (False, True))
    assert heads['forward_dense_macs'] == plain['forward_dense_macs']
    # Both on 4x4 maps, of 512 and 528 channels: a 1x1 convolution and two linear layers, with two gradients each.
    expected = sum(4 * 4 * channels * 128 + 4 * 4 * 128 * 1024 + 1024 * 1000 for channels in (512, 528))
    assert heads['train_dense_macs'] - plain['train_dense_macs'] == 3 * expected
    # As torchvision lists it with them.
    assert heads['params'] == 13_004_888


def test_entries_say_where_and_when():
    entry = model_entry('shufflenet_v1_x1_0')
    assert (entry.paper, entry.published.isoformat(), entry.image_size) == ('arXiv:1707.01083', '2017-07-03', 224)
