"""airbench94 is the public network, and what it takes from the training images is what its authors' code takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.count import count_network
from efficiency.errors import UserError
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.variables import initialise
from efficiency.tasks.images.networks.whitening import whitening_kernel, whitening_macs

torch = pytest.importorskip('torch', reason='needs the extra crosscheck')


class Group(torch.nn.Module):
    def __init__(self, before, after):
        super().__init__()
        conv, norm = (
            lambda n: torch.nn.Conv2d(n, after, 3, padding='same', bias=False),
            lambda: torch.nn.BatchNorm2d(after, eps=1e-12, momentum=0.4),
        )
        self.conv1, self.norm1, self.conv2, self.norm2 = conv(before), norm(), conv(after), norm()
        self.pool, self.act = torch.nn.MaxPool2d(2), torch.nn.GELU()

    def forward(self, x):
        x = self.act(self.norm1(self.pool(self.conv1(x))))
        return self.act(self.norm2(self.conv2(x)))


class Public(torch.nn.Module):
    """As the public code describes it, in float32."""

    def __init__(self):
        super().__init__()
        self.whiten = torch.nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        self.group1, self.group2, self.group3 = Group(24, 64), Group(64, 256), Group(256, 256)
        self.head = torch.nn.Linear(256, 10, bias=False)

    def forward(self, x):
        x = torch.nn.functional.gelu(self.whiten(x))
        x = torch.nn.functional.max_pool2d(self.group3(self.group2(self.group1(x))), 3).flatten(1)
        return self.head(x) / x.shape[1]


@pytest.fixture(scope='module')
def public():
    torch.manual_seed(0)
    return Public()


def ours_of(public):
    """Our variables with the values of torch's."""

    def place(path):
        names = path.split('.')
        kinds = {'running_mean': 'mean', 'running_var': 'var'}
        kinds['weight'] = 'scale' if 'norm' in path else 'kernel'
        return ('batch_stats' if 'running' in path else 'params', *names[:-1], kinds.get(names[-1], names[-1]))

    found = {}
    for path, value in public.state_dict().items():
        if path.endswith('num_batches_tracked'):
            continue
        array = value.numpy()
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T if array.ndim == 2 else array
        *parents, name = place(path)
        holder = found
        for parent in parents:
            holder = holder.setdefault(parent, {})
        holder[name] = array
    return found


def test_parameters_and_macs_are_the_public_networks(public):
    from torch.utils.flop_counter import FlopCounterMode

    counted = count_network('airbench94', image_size=32, num_classes=10)
    assert counted['params'] == sum(each.numel() for each in public.parameters())
    with FlopCounterMode(display=False) as forward:
        logits = public(torch.zeros(2, 3, 32, 32))
    assert 2 * 2 * counted['forward_dense_macs'] == forward.get_total_flops()
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    assert 2 * 2 * counted['train_dense_macs'] == forward.get_total_flops() + backward.get_total_flops()


@pytest.mark.parametrize('train', [False, True])
def test_the_function_is_the_public_networks(public, train):
    variables = ours_of(public)
    images = np.random.RandomState(0).standard_normal((8, 32, 32, 3)).astype(np.float32)
    model = create_model('airbench94', 10, 32)
    ours, updated = model.apply(variables, images, train, mutable=['batch_stats'])
    public.train(train)
    with torch.no_grad():
        theirs = public(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())
    after = ours_of(public)['batch_stats']
    for found, expected in zip(*map(jax.tree.leaves, (updated['batch_stats'], after)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


def test_it_begins_near_the_identity_with_a_head_of_deviation_one():
    params = initialise(create_model('airbench94', 10, 32), jax.random.key(0), 32)['params']
    for number, (before, after) in enumerate([(24, 64), (64, 256), (256, 256)], 1):
        for name, inputs in (('conv1', before), ('conv2', after)):
            theirs = torch.empty(inputs, inputs, 3, 3)
            torch.nn.init.dirac_(theirs)
            kernel = params[f'group{number}'][name]['kernel']
            np.testing.assert_array_equal(kernel[..., :inputs], theirs.numpy().transpose(2, 3, 1, 0))
            rest = kernel[..., inputs:]
            if rest.size:
                bound = 1 / np.sqrt(9 * inputs)
                assert 0.99 * bound < np.abs(rest).max() <= bound
    np.testing.assert_allclose(np.std(params['head']['kernel'], ddof=1), 1, rtol=1e-5)


def test_the_first_layer_makes_patches_white():
    draw = np.random.RandomState(0)
    # Neighbours of natural images are alike: here by sums over them.
    images = np.cumsum(draw.standard_normal((300, 9, 9, 3)), axis=1).astype(np.float32)
    patches = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).unfold(2, 2, 1).unfold(3, 2, 1)
    flat = patches.permute(0, 2, 3, 4, 5, 1).reshape(-1, 12).double()  # in the order of our kernels: h, w, c
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    kernel = whitening_kernel(images, 12, 2, epsilon=0.0)
    assert kernel.shape == (2, 2, 3, 24)
    filters = kernel.reshape(12, 24)
    np.testing.assert_array_equal(filters[:, 12:], -filters[:, :12])
    theirs = (vectors / values.sqrt()).flip(1).numpy()
    np.testing.assert_allclose(np.abs(filters[:, :12]), np.abs(theirs), rtol=1e-3, atol=1e-4)
    white = flat.numpy() @ filters[:, :12]
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(12), atol=1e-3)
    # Fewer filters are those of the largest eigenvalues; others stand by a stride.
    np.testing.assert_allclose(whitening_kernel(images, 5, 2, epsilon=0.0).reshape(12, 10)[:, :5], filters[:, :5])
    apart = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).unfold(2, 3, 3).unfold(3, 3, 3)
    apart = apart.permute(0, 2, 3, 4, 5, 1).reshape(-1, 27).double()
    largest = torch.linalg.eigvalsh(apart.T @ apart / len(apart))[-1]
    np.testing.assert_allclose(
        np.linalg.norm(whitening_kernel(images, 1, 3, 3).reshape(27, 2)[:, 0]), 1 / np.sqrt(largest + 5e-4), rtol=1e-4
    )


def test_what_whitening_takes_is_counted_by_its_rule():
    # 5,000 images of 31 x 31 patches of 12 numbers; 9/2 d^3 for the eigenvectors.
    assert whitening_macs(5000, 32, 3, 2) == 5000 * 31 * 31 * 144 + 7776
    # Rows 0 to 8 and 3 to 5 of 10 by 3, grey: 3 x 3 places.
    assert whitening_macs(7, 10, 1, 3, 3) == 7 * 9 * 81 + (9 * 729 + 1) // 2
    model = create_model('airbench94', 10, 32)
    assert model.macs_of_images(5000, 32) == whitening_macs(5000, 32, 3, 2)


def test_the_whitening_layer_has_no_gradient_but_its_bias():
    model = create_model('airbench94', 10, 32)
    variables = initialise(model, jax.random.key(0), 32)
    images = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)

    def loss(params):
        return jnp.sum(model.apply({**variables, 'params': params}, images, False)[:, 0])

    gradient = jax.jit(jax.grad(loss))(variables['params'])['whiten']
    assert not np.any(gradient['kernel'])
    assert np.all(gradient['bias'])


def test_its_stem_and_its_groups_can_be_others():
    options = {'width': 8, 'groups': (2, 3), 'components': 5, 'patch': 4, 'patch_stride': 2}
    counted = count_network('airbench94', image_size=32, num_classes=10, options=options)
    # 10 maps of 15 x 15; 16 channels, pooled to 7 x 7; 24 channels, pooled to 3 x 3.
    convolutions = [(225, 10, 16), (49, 16, 16), (49, 16, 24), (9, 24, 24)]
    stem = 225 * 4 * 4 * 3 * 10
    assert counted['forward_dense_macs'] == stem + sum(9 * n * i * o for n, i, o in convolutions) + 24 * 10
    model = create_model('airbench94', 10, 32, options=options)
    images = np.random.RandomState(0).standard_normal((6, 32, 32, 3)).astype(np.float32)
    params = model.with_images(initialise(model, jax.random.key(0), 32)['params'], images)
    assert params['whiten']['kernel'].shape == (4, 4, 3, 10)
    too_many = create_model('airbench94', 10, 32, options=options | {'components': 49})
    with pytest.raises(UserError, match='49 components are asked for, and a patch of 4 x 4 x 3 has 48'):
        initialise(too_many, jax.random.key(0), 32)
