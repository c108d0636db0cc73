"""What networks and recipes cost, found from shapes alone: nothing is trained, and no parameter is made."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Set
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.flops import Count, count, count_jaxpr
from efficiency.flops.ahead import Ahead, compile_ahead, topology_devices
from efficiency.flops.xla import flops_when_lowered
from efficiency.metrics import OF_CLASSES
from efficiency.models import create_model, ops
from efficiency.models.initializers import shapes_and_forward
from efficiency.training.loss import loss_and_stats
from efficiency.training.mesh import DataParallel
from efficiency.training.programs import forward_count, forward_pass, multiplying, without_optimizer

Shapes = Any


@dataclasses.dataclass(frozen=True)
class Program:
    """A network's forward pass over one example and a train step over a batch, as functions and shapes.

    Attributes:
        model: the network.
        variables: its parameters and batch statistics, as shapes.
        evaluation: the jaxpr of its forward pass over one example, as in evaluation; None where that has to be traced.
        image_size: pixels a side.
        step: (state, batch) -> the new state or gradients, and the loss.
        state, batch: what it takes, as shapes; the leaves of `batch` have the examples first.
        precision: as in `config.precision`, which a compiler is asked for.
        trains: whether what the step gives is the next state.
    """

    model: nn.Module
    variables: Shapes
    evaluation: Any
    image_size: int
    step: Callable
    state: Shapes
    batch: dict[str, jax.ShapeDtypeStruct]
    precision: str = 'float32'
    trains: bool = False

    @property
    def batch_size(self) -> int:
        """How many examples a step takes."""
        return len(self.batch['label'])

    @functools.cached_property
    def params(self) -> int:
        """How many parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables['params']))

    @functools.cached_property
    def forward(self) -> Count:
        """Of one example, as in evaluation."""
        if self.evaluation is not None:
            return count_jaxpr(self.evaluation)
        with ops.override('stock'):
            return forward_count(self.model, self.variables, self.image_size)

    @functools.cached_property
    def train(self) -> Count:
        """Of the step, over its batch."""
        # Traced in the one formulation that is counted, in a fraction of the time that all of them take.
        with ops.override('stock'):
            return count(self.step, self.state, self.batch)


def network_program(
    name: str,
    image_size: int | None = None,
    num_classes: int = 1000,
    options: Mapping[str, Any] = MappingProxyType({}),
    batch_size: int = 1,
) -> Program:
    """A network and a step without an optimizer: forward and backward of the network and its loss.

    Args:
        name: see `efficiency.models.list_models`.
        image_size: pixels a side; the network's own where None.
        num_classes: width of the last layer.
        options: of the network, see `efficiency.models.create_model`.
        batch_size: examples of a step.

    Raises:
        UserError: if there is no such network, or not at that size.
    """
    model = create_model(name, num_classes, image_size, options=options)
    variables, evaluation = shapes_and_forward(model, model.image_size)
    state = {
        'params': variables['params'],
        'batch_stats': variables.get('batch_stats', {}),
        'key': jax.ShapeDtypeStruct((2,), jnp.uint32),
    }

    def step(state, batch):
        key = jax.random.wrap_key_data(state['key'])

        def loss(params):
            return loss_and_stats(model, params, state['batch_stats'], batch['image'], batch['label'], key)

        return jax.value_and_grad(loss, has_aux=True)(state['params'])

    batch = _batch(batch_size, model.image_size, jnp.float32)
    return Program(model, variables, evaluation, model.image_size, step, state, batch)


def recipe_program(config: ConfigDict, num_classes: int | None = None, data_dir: str | None = None) -> Program:
    """The very train step of a recipe: its precision, options of the network, augmentation and optimizer.

    Args:
        config: see `configs/common.py`.
        num_classes: width of the last layer; that of the config's data set where None, which must be there then.
        data_dir: where data sets are, see `efficiency.data.catalogue.open_source`.

    Raises:
        UserError: for a mistake in the config, or a data set that is not there.
    """
    from efficiency.data.augment import augmentation
    from efficiency.training import recipe
    from efficiency.training.settings import check_config
    from efficiency.training.step import TrainState, make_train_step

    check_config(config, OF_CLASSES)
    channels = 3
    if num_classes is None:
        config, num_classes, channels = recipe.shapes_of_data(config, data_dir)
    missing = next((key for key in ('image_size', 'augmentation') if config[key] is None), None)
    if missing:
        raise UserError(f'config.{missing} is left to the data, which is not asked here; pass --config.{missing}')
    model = recipe.network(config, num_classes)
    variables, evaluation = shapes_and_forward(model, config.image_size)
    optimizer = recipe.optimizer_of(config, 1, 1)
    # What images are normalised by does not change what it costs.
    step = make_train_step(model, optimizer, augmentation(config.augmentation), (0.5,) * 3, (0.25,) * 3)
    state = TrainState(
        step=jax.ShapeDtypeStruct((), jnp.int32),
        key=jax.ShapeDtypeStruct((2,), jnp.uint32),
        params=variables['params'],
        batch_stats=variables.get('batch_stats', {}),
        opt_state=jax.eval_shape(optimizer.init, variables['params']),
    )
    batch = _batch(config.batch_size, config.image_size, jnp.uint8, channels)
    return Program(
        model, variables, evaluation, config.image_size, step, state, batch, config.precision, trains=True
    )  # fmt: skip


def _batch(batch_size, image_size, dtype, channels=3):
    return {
        'image': jax.ShapeDtypeStruct((batch_size, image_size, image_size, channels), dtype),
        'label': jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    }


def costs(program: Program) -> dict[str, Any]:
    """What a program costs for one example, in multiply-adds.

    Returns:
        'params', 'forward_dense_macs', 'forward_real_macs', 'train_dense_macs', 'train_real_macs', and
        'train_over_forward', a ratio of dense ones. What the optimizer multiplies is left out: it does not grow with
        the batch.
    """
    forward, train = program.forward, without_optimizer(program.train)
    train_dense, train_real = (_each(macs, program.batch_size) for macs in (train.dense_macs, train.real_macs))
    return {
        'params': program.params,
        'forward_dense_macs': forward.dense_macs,
        'forward_real_macs': forward.real_macs,
        'train_dense_macs': train_dense,
        'train_real_macs': train_real,
        'train_over_forward': _ratio(train_dense, forward.dense_macs),
    }


def _ratio(part: float | None, whole: float) -> float | None:
    """None where there is nothing to compare, or nothing to compare with."""
    return part / whole if part is not None and whole else None


def _each(total: int, batch_size: int) -> int | float:
    """A batch's total for each of its examples: whole, but where something does not grow with the batch."""
    return total / batch_size if total % batch_size else total // batch_size


def layer_costs(program: Program) -> list[dict[str, Any]]:
    """What each layer costs: all that have parameters of their own or multiply, in the order in which they run.

    Returns:
        For each {'layer': its path in the network, 'output_shape': of one example, 'params', 'forward_dense_macs',
        'forward_real_macs', 'share': of the forward dense macs, 'train_dense_macs', 'train_real_macs': for one
        example}. Their sums are those of `costs`, without an optimizer as there. What is multiplied outside the network
        is a layer of its scope's name; output_shape is None where it is not known.
    """
    shapes = _output_shapes(program)
    folders = _folders(program.variables['params'])
    forward = _by_path(program.forward, shapes.keys() | folders, program.model)
    train = _by_path(without_optimizer(program.train), shapes.keys() | folders, program.model)
    modules = dict.fromkeys([*shapes, *forward, *train, ''])
    params = _params_by_path(program.variables['params'], modules)
    none = Count(())
    rows = []
    for path in modules:
        once, step = forward.get(path, none), train.get(path, none)
        if params[path] or step.dense_macs:
            rows.append({
                'layer': path or '(top)',
                'output_shape': shapes.get(path),
                'params': params[path],
                'forward_dense_macs': once.dense_macs,
                'forward_real_macs': once.real_macs,
                'share': _ratio(once.dense_macs, program.forward.dense_macs),
                'train_dense_macs': _each(step.dense_macs, program.batch_size),
                'train_real_macs': _each(step.real_macs, program.batch_size),
            })  # fmt: skip
    return rows


def _output_shapes(program: Program) -> dict[str, str | None]:
    """What each module gives for one example in training, by its path: '56x56x64'."""
    shapes = {}

    def note(next_method, args, kwargs, context):
        output = next_method(*args, **kwargs)
        path = '/'.join(context.module.path)
        if context.method_name == '__call__' or (context.method_name != 'setup' and path not in shapes):
            first = next(iter(jax.tree.leaves(output)), None)
            shapes[path] = 'x'.join(map(str, first.shape[1:])) if hasattr(first, 'shape') else None
        return output

    def apply(variables, images):
        rngs = {'dropout': jax.random.key(0)}
        return program.model.apply(variables, images, train=True, mutable=['batch_stats'], rngs=rngs)

    images = _batch(program.batch_size, program.image_size, jnp.float32)['image']
    with nn.intercept_methods(note), ops.override('stock'):
        jax.eval_shape(apply, program.variables, images)
    return shapes


def _folders(params: Any, path: str = '') -> set[str]:
    """The paths of all that holds parameters: modules, and parameters of several arrays."""
    if not isinstance(params, Mapping):
        return set()
    within = (_folders(held, f'{path}/{name}'.lstrip('/')) for name, held in params.items())
    return {path}.union(*within)


def _by_path(counted: Count, paths: Set[str], model: nn.Module) -> dict[str, Count]:
    """A count by modules' paths; what runs in none of them by the outermost scope's name."""
    found: dict[str, tuple] = {}
    for name, part in counted.by_layer().items():
        top, *scopes = name.split('/')
        path = top
        if top.partition('.')[0] == (model.name or type(model).__name__):
            path = ''
            for scope in scopes:
                # Of a method other than __call__ the scope is module.method; others may be anywhere between.
                there = (f'{path}/{each}'.lstrip('/') for each in (scope, scope.rpartition('.')[0]) if each)
                path = next((each for each in there if each in paths), path)
        found[path] = (*found.get(path, ()), *part.operations)
    return {path: Count(operations) for path, operations in found.items()}


def _params_by_path(params: Any, modules: Iterable[str]) -> collections.Counter[str]:
    """How many parameters are each module's own; those of one that never ran are of the nearest around it that did."""
    own = collections.Counter()
    for keys, leaf in jax.tree.leaves_with_path(params):
        path = jax.tree_util.keystr(keys, simple=True, separator='/')
        while path not in modules:
            path = path.rpartition('/')[0]
        own[path] += leaf.size
    return own


def xla_costs(program: Program) -> dict[str, Any]:
    """XLA's count of what is lowered, before it compiles, and how it compares.

    Returns:
        XLA's own floats 'xla_forward_flops', of one example, and 'xla_train_flops', of the step over its batch; each
        with half of it over the real multiply-adds, 'xla_forward_over_real' and 'xla_train_over_real'.
    """
    image = _batch(1, program.image_size, jnp.float32)['image']
    traces = {
        'forward': (forward_pass(program.model), (program.variables, image), program.forward),
        # Another function than the one that was counted, as jax remembers what it traced of that.
        'train': (functools.partial(program.step), (program.state, program.batch), program.train),
    }
    found = {}
    for name, (function, shapes, counted) in traces.items():
        with ops.override('stock'), multiplying(program.precision):
            flops = flops_when_lowered(jax.jit(function).trace(*shapes))
        found |= {f'xla_{name}_flops': flops, f'xla_{name}_over_real': _ratio(flops, 2 * counted.real_macs)}
    return found


def _compiled(program: Program, devices: DataParallel) -> Ahead:
    with multiplying(program.precision):
        return compile_ahead(
            program.step, program.state, program.batch, devices.replicated, devices.split, program.trains
        )


def compiled_costs(program: Program) -> dict[str, Any]:
    """What the compiler makes of the train step on the devices here, the batch split among them.

    Returns:
        'devices', 'compiled_train_flops' (XLA's float, of one device, times devices; a loop's body is counted once;
        None where XLA does not say), 'compiled_over_real' (half of it over the real multiply-adds of the step),
        'compiled_mib_per_device', 'compile_seconds'.

    Raises:
        UserError: if the batch does not divide over the devices.
    """
    ahead = _compiled(program, DataParallel(program.batch_size))
    flops = ahead.flops
    return {
        'devices': ahead.devices,
        'compiled_train_flops': flops,
        'compiled_over_real': _ratio(flops, 2 * program.train.real_macs),
        'compiled_mib_per_device': ahead.bytes_per_device / 2**20,
        'compile_seconds': ahead.seconds,
    }


def topology_costs(program: Program, topology: str) -> dict[str, Any]:
    """What libtpu makes of the train step for a slice of TPU chips that is not here, the batch split among its devices.

    Returns:
        'topology', 'chips', 'flops_per_chip' (XLA's float), 'compiled_over_real' (half of that times chips, over the
        real multiply-adds of the step), 'mib_per_chip', 'collectives' (how many of each kind a step has),
        'collective_mib' (what a device gets of them in a step), 'compile_seconds'.

    Raises:
        UserError: if there is no such slice, the batch does not divide over its devices, or libtpu is not installed.
    """
    there, chips = topology_devices(topology)
    ahead = _compiled(program, DataParallel(program.batch_size, there))
    return {
        'topology': topology,
        'chips': chips,
        'flops_per_chip': _ratio(ahead.flops, chips),
        'compiled_over_real': _ratio(ahead.flops, 2 * program.train.real_macs),
        'mib_per_chip': ahead.bytes_per_device * ahead.devices / chips / 2**20,
        'collectives': ', '.join(f'{number} {kind}' for kind, (number, _) in ahead.collectives.items()) or None,
        'collective_mib': sum(size for _, size in ahead.collectives.values()) / 2**20,
        'compile_seconds': ahead.seconds,
    }
