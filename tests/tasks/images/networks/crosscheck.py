"""Runs a network and torch's of the same weights side by side, in float64, and says how far apart they are."""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from efficiency.layers.modules import StochasticDepth
from efficiency.tasks.images.loss import loss_and_stats
from efficiency.tasks.images.networks import create_model, model_entry
from efficiency.tasks.images.networks.torch_weights import from_torch, torch_name
from efficiency.tasks.images.networks.variables import initialise, variable_shapes

# Each program runs once, and compiling takes longest.
_jit = partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def _without_chance(next_method: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
    """Leaves out what draws: dropout and stochastic depth."""
    chance = isinstance(context.module, nn.Dropout | StochasticDepth) and context.method_name == '__call__'
    return args[0] if chance else next_method(*args, **kwargs)


def _farthest(ours: dict, theirs: dict) -> float:
    """The largest difference of all tensors, each over its largest entry; what is 0 there is 0 here, rounding apart."""
    assert ours.keys() == theirs.keys()
    found = [0.0]
    for name, expected in theirs.items():
        largest = np.abs(expected).max()
        if largest < 1e-12:  # as of a bias before a batch norm
            assert np.abs(ours[name]).max() < 1e-9
        else:
            found.append(float(np.abs(ours[name] - expected).max() / largest))
    return max(found)


def differences(
    name: str, reference, image_size: int, options: Mapping = MappingProxyType({}), batch_size: int = 4
) -> dict[str, float]:
    """How far a network is from torch's.

    Args:
        name: of our network.
        reference: torch's module, randomly initialised, in any mode, with 1000 outputs.
        image_size: pixels a side; above 64, where networks have no small-image form.
        options: of our network.

    Returns:
        {'params', 'logits', 'loss', 'batch_stats', 'gradients'}: the difference in parameters counted, and the largest
        relative ones: logits in evaluation mode over the largest logit, the others in training mode over the largest
        entry of each tensor, dropout and stochastic depth off.
    """
    with jax.enable_x64(True):
        return _differences(name, reference, image_size, options, batch_size)


def _differences(name, reference, image_size, options, batch_size):
    import torch

    torch.manual_seed(0)
    reference = reference.double()
    for module in reference.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if type(module).__name__ in ('StochasticDepth', 'DropPath'):
            module.forward = lambda x: x
        if isinstance(module, torch.nn.BatchNorm2d):
            # Statistics of one batch of noise would be near these already: others show a mistake.
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    draw = np.random.RandomState(0)
    images = draw.randn(batch_size, image_size, image_size, 3)
    labels = draw.randint(0, 1000, batch_size)
    model = create_model(name, 1000, image_size, jnp.float64, options)
    shapes = variable_shapes(model, image_size)
    variables = from_torch(name, shapes, {key: value.numpy().copy() for key, value in reference.state_dict().items()})
    theirs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    reference.eval()
    with torch.no_grad():
        their_logits = reference(theirs).numpy()
    our_logits = np.asarray(_jit(lambda v, x: model.apply(v, x, False))(variables, images))

    reference.train()
    output = reference(theirs)
    logits = (output.logits, output.aux_logits1, output.aux_logits2) if hasattr(output, 'aux_logits1') else (output,)
    entropies = [torch.nn.functional.cross_entropy(one, torch.from_numpy(labels)) for one in logits]
    # The weights of GoogLeNet's paper, section 5.
    their_loss = entropies[0] + 0.3 * sum(entropies[1:])
    their_loss.backward()

    def loss_of(params):
        with nn.intercept_methods(_without_chance):
            return loss_and_stats(model, params, variables.get('batch_stats', {}), images, labels, jax.random.key(0))

    (our_loss, batch_stats), gradients = _jit(jax.value_and_grad(loss_of, has_aux=True))(variables['params'])
    after = {key: value.numpy() for key, value in reference.state_dict().items()}
    their_gradients = {key: value.grad.numpy() for key, value in reference.named_parameters()}
    their_params = sum(value.numel() for value in reference.parameters())
    expected = {
        'batch_stats': from_torch(
            name, {'batch_stats': shapes.get('batch_stats', {})}, _only(after, name, shapes, 'batch_stats')
        ),
        'params': from_torch(name, {'params': shapes['params']}, their_gradients),
    }
    ours = {'batch_stats': {'batch_stats': batch_stats}, 'params': {'params': gradients}}

    def farthest(kind):
        one, other = (traverse_util.flatten_dict(jax.tree.map(np.asarray, tree[kind])) for tree in (ours, expected))
        return _farthest(one, other)

    return {
        'params': abs(sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) - their_params),
        'logits': float(np.abs(our_logits - their_logits).max() / np.abs(their_logits).max()),
        'loss': abs(float(our_loss) - float(their_loss)) / float(their_loss),
        'batch_stats': farthest('batch_stats'),
        'gradients': farthest('params'),
    }  # fmt: skip


def _only(state: dict, name: str, shapes: dict, kind: str) -> dict:
    """The entries of a torch state that belong to one kind of variables."""
    names = model_entry(name).torch_names
    wanted = {torch_name(path, names) for path in traverse_util.flatten_dict({kind: shapes.get(kind, {})})}
    return {key: value for key, value in state.items() if key in wanted}


def seeded_state(name: str, shapes: dict) -> dict[str, np.ndarray]:
    """A torch state dict for a network, drawn from each variable's name alone: the same here and for torch.

    Args:
        name: of the network.
        shapes: its variables, or their shapes.
    """
    names, state = model_entry(name).torch_names, {}
    for path, leaf in traverse_util.flatten_dict(shapes).items():
        key = torch_name(path, names)
        draw = np.random.RandomState(zlib.crc32(key.encode()))
        if path[-1] == 'kernel':
            shape = (leaf.shape[-1], leaf.shape[-2], *leaf.shape[:-2])
            value = draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif path[-1] in ('scale', 'var'):
            value = draw.uniform(0.8, 1.2, leaf.shape)
        else:
            value = draw.uniform(-0.1, 0.1, leaf.shape)
        state[key] = value.astype(np.float32)
    return state


def seeded_images(image_size: int) -> np.ndarray:
    """Two images of noise, (2, size, size, 3)."""
    return np.random.RandomState(7).standard_normal((2, image_size, image_size, 3)).astype(np.float32)


def dense_macs(reference, image_size: int) -> int:
    """Forward multiply-adds of one image, as torch's FlopCounterMode counts them (half its flops)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device('meta'):
        image = torch.empty(1, 3, image_size, image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        reference.to('meta').eval()(image)
    return counter.get_total_flops() // 2


def chances(name: str, reference) -> tuple[list[float], list[float]]:
    """The rates of dropout and of stochastic depth in the order of the layers: ours, and those of torch's network."""
    import torch
    import torchvision

    ours = []

    def note(next_method, args, kwargs, context):
        module = context.module
        if context.method_name == '__call__' and isinstance(module, nn.Dropout | StochasticDepth):
            ours.append(module.rate)
        return next_method(*args, **kwargs)

    size = model_entry(name).image_size
    with nn.intercept_methods(note):
        variable_shapes(create_model(name), size)
    kinds = torch.nn.Dropout, torchvision.ops.StochasticDepth
    # torchvision's blocks without a shortcut hold a stochastic depth that they do not use.
    blocks = [module for module in reference.modules() if hasattr(module, 'stochastic_depth')]
    unused = {id(block.stochastic_depth) for block in blocks if not block.use_res_connect}
    theirs = [module.p for module in reference.modules() if isinstance(module, kinds) and id(module) not in unused]
    return [rate for rate in ours if rate], [rate for rate in theirs if rate]


def unlike_initial_values(name: str, reference) -> list[str]:
    """The variables whose first values ours and torch's network draw from different distributions, with both.

    Mean, standard deviation and mean absolute value must agree within five standard errors of a sample of their size.
    """
    size = model_entry(name).image_size
    ours = traverse_util.flatten_dict(initialise(create_model(name), jax.random.key(0), size))
    theirs = traverse_util.flatten_dict(
        from_torch(name, traverse_util.unflatten_dict(ours), {k: v.numpy() for k, v in reference.state_dict().items()})
    )
    unlike = []
    for path, value in ours.items():
        moments = [
            (v.mean(), v.std(), np.abs(v).mean()) for v in (np.asarray(value, float), theirs[path].astype(float))
        ]
        # No distribution here is wider than a normal one, whose deviation and mean size err less than its mean.
        error = 5 * max(moments[0][1], moments[1][1]) * np.sqrt(2 / value.size)
        if np.abs(np.subtract(*moments)).max() > error + 1e-7:
            unlike.append(f'{"/".join(path)}: {moments}')
    return unlike
