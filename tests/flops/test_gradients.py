"""The dense count of convolutions and their gradients, however they are written: a closed form, and random programs."""

import dataclasses
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec as P

from efficiency.flops import CountError, count, count_jaxpr, tracing

IMAGE_LAYOUTS = ('NCHW', 'NHWC', 'CNHW', 'HWNC', 'CHWN', 'HWCN')
KERNEL_LAYOUTS = ('OIHW', 'HWIO', 'IOHW', 'IHWO')
SIZES = {'N': 2, 'H': 7, 'W': 6}


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution of images in some layout, and what it costs."""

    image_layout: str
    kernel_layout: str
    reverses: bool = False
    options: tuple = (('window_strides', (1, 1)), ('padding', 'VALID'))
    groups: int = 1
    result_layout: str | None = None

    @property
    def numbers(self):
        return (self.image_layout, self.kernel_layout, self.result_layout or self.image_layout)

    def __call__(self, x, w):
        if self.reverses:
            w = lax.rev(w, (self.kernel_layout.index('H'), self.kernel_layout.index('W')))
        options = dict(self.options)
        return lax.conv_general_dilated(
            x, w, dimension_numbers=self.numbers, feature_group_count=self.groups, **options
        )

    @property
    def shapes(self):
        sizes = {**SIZES, 'C': 2 * self.groups}
        taps = {'O': 3 * self.groups, 'I': 2, 'H': 3, 'W': 2}
        return f32(*map(sizes.get, self.image_layout)), f32(*map(taps.get, self.kernel_layout))

    @property
    def dense_macs(self):
        """The textbook's: results times the size of the kernel; images, where those are what is spread."""
        out = dict(zip(self.numbers[2], jax.eval_shape(self, *self.shapes).shape, strict=True))
        spread = dict(self.options).get('lhs_dilation', (1, 1))
        sides = [SIZES[side] if holes > 1 else out[side] for side, holes in zip('HW', spread, strict=True)]
        return 2 * 3 * self.groups * 2 * math.prod(sides) * 3 * 2


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def squares(conv):
    return lambda x, w: jnp.sum(conv(x, w) ** 2)


def all_cost(program, conv, number=None, times=1):
    """Whether every convolution of a program costs what that one does; returns their kinds."""
    operations = count(program, *conv.shapes).operations
    assert number in (None, len(operations))
    assert {op.dense_macs * op.times for op in operations} == {times * conv.dense_macs}
    return [op.conv_pass for op in operations]


def gradients(function):
    return jax.grad(squares(function), (0, 1))


def scanned(conv):
    return lambda x, w: lax.scan(lambda _, image: (None, conv(image, w)), None, x[None])[1]


def reversing_results(conv):
    """Whose gradients are reversed, as kernels are in gradients."""
    sides = [conv.numbers[2].index(side) for side in 'HW']
    return lambda x, w: lax.rev(conv(x, w), sides)


@pytest.mark.parametrize('image_layout', IMAGE_LAYOUTS)
@pytest.mark.parametrize('kernel_layout', KERNEL_LAYOUTS)
@pytest.mark.parametrize('reverses', [False, True])
def test_a_pass_and_its_gradients_are_told_apart_in_every_layout(image_layout, kernel_layout, reverses):
    conv = Convolution(image_layout, kernel_layout, reverses)
    assert all_cost(conv, conv) == ['forward']
    for program in (conv, reversing_results(conv), jax.jit(reversing_results(conv)), scanned(reversing_results(conv))):
        assert sorted(all_cost(gradients(program), conv)) == ['forward', 'input_gradient', 'weight_gradient']


CONV = Convolution('NCHW', 'OIHW')


def by_hand(conv):
    """With a rule of its own that runs the forward pass again, and differentiates that."""
    made = jax.custom_vjp(conv)
    made.defvjp(lambda x, w: (conv(x, w), (x, w)), lambda saved, g: jax.vjp(conv, *saved)[1](g * conv(*saved)))
    return made


def split(conv):
    mesh = jax.sharding.AbstractMesh((2,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.shard_map(conv, mesh=mesh, in_specs=(P('data'), P()), out_specs=P('data'))


WRAPPERS = {
    'jit': jax.jit,
    'remat': jax.checkpoint,
    'remat_of_jit': lambda conv: jax.checkpoint(jax.jit(conv)),
    'scan': scanned,
    'vmap': lambda conv: lambda x, w: jax.vmap(conv, (0, None))(x[None], w),
    'cond': lambda conv: lambda x, w: lax.cond(w[0, 0, 0, 0] > 0, conv, lambda x, w: conv(x, w) * 2, x, w),
    'custom_vjp': by_hand,
    'jit_in_custom_vjp': lambda conv: by_hand(jax.jit(conv)),
    'remat_of_custom_vjp': lambda conv: jax.checkpoint(by_hand(conv)),
}


@pytest.mark.parametrize('outer', WRAPPERS)
@pytest.mark.parametrize('inner', WRAPPERS)
def test_transformations_do_not_hide_what_a_convolution_is(outer, inner):
    program = gradients(WRAPPERS[outer](WRAPPERS[inner](CONV)))
    kinds = all_cost(program, CONV)
    assert set(kinds) == {'forward', 'input_gradient', 'weight_gradient'}
    assert kinds.count('input_gradient') == kinds.count('weight_gradient') == 1


def test_a_gradient_may_be_taken_inside_of_other_transformations():
    assert all_cost(jax.jit(jax.checkpoint(gradients(CONV))), CONV, 3)
    assert all_cost(lambda x, w: jax.vmap(gradients(CONV), (None, 0))(x, jnp.stack([w] * 3)), CONV, 3, times=3)
    assert all_cost(lambda x, w: lax.scan(lambda _, x: (None, gradients(CONV)(x, w)), None, x[None]), CONV, 3)
    # Each of two devices has half of the images.
    operations = count(gradients(split(CONV)), *CONV.shapes).operations
    assert [op.times * op.dense_macs for op in operations] == 3 * [CONV.dense_macs]


def penalty(conv):
    """A function of both gradients."""
    return lambda x, w: sum(jnp.sum(part**2) for part in gradients(conv)(x, w))


PASSES = {'forward', 'input_gradient', 'weight_gradient'}


@pytest.mark.parametrize('layouts', [('NCHW', 'OIHW'), ('HWCN', 'IOHW', 'CHWN'), ('CNHW', 'IHWO')])
def test_gradients_of_gradients_cost_what_their_forward_pass_does(layouts):
    conv = Convolution(*layouts[:2], result_layout=layouts[-1] if len(layouts) == 3 else None)
    for wrap in (lambda conv: conv, jax.jit, jax.checkpoint, by_hand):
        second = jax.grad(penalty(wrap(conv)), (0, 1))
        assert set(all_cost(second, conv)) == PASSES
    for wrap in (lambda conv: conv, jax.jit, jax.checkpoint):
        third = jax.grad(squares(lambda x, w, wrap=wrap: jax.grad(penalty(wrap(conv)))(x, w)), (0, 1))
        assert set(all_cost(third, conv)) == PASSES
    assert all_cost(lambda x, w: jax.jvp(gradients(conv), (x, w), (x, w)), conv)
    assert all_cost(lambda x, w: jax.linearize(jax.jit(gradients(conv)), x, w)[1](x, w), conv)


def orders(letters):
    return [''.join(order) for order in itertools.permutations(letters)]


@pytest.mark.parametrize('image_layout', orders('NCH'))
def test_every_layout_of_one_dimension(image_layout):
    for kernel_layout, result_layout in itertools.product(orders('OIH'), orders('NCH')):
        numbers = (image_layout, kernel_layout, result_layout)

        def conv(x, w, numbers=numbers):
            return lax.conv_general_dilated(x, w, (1,), 'VALID', dimension_numbers=numbers)

        x = f32(*map({'N': 2, 'C': 3, 'H': 6}.get, image_layout))
        w = f32(*map({'O': 5, 'I': 3, 'H': 3}.get, kernel_layout))
        for program, kinds in ((gradients(conv), 1), (jax.grad(penalty(conv), (0, 1)), None)):
            parts = count(program, x, w).by_conv_pass()
            for kind in PASSES:
                # Two images, three channels to five, four results of three taps.
                assert {op.dense_macs for op in parts[kind].operations} == {2 * 3 * 5 * 4 * 3}, numbers
                assert kinds in (None, len(parts[kind].operations)), numbers


def test_which_pass_a_gradient_is_cannot_be_told_from_a_jaxpr_made_elsewhere():
    elsewhere = jax.make_jaxpr(gradients(CONV))(*CONV.shapes)
    with pytest.raises(CountError, match=r"'conv_general_dilated' in the program: which pass.*tracing\(\)"):
        count_jaxpr(elsewhere)
    with tracing():
        here = jax.make_jaxpr(gradients(CONV))(*CONV.shapes)
    assert count_jaxpr(here).dense_macs == 3 * CONV.dense_macs


@pytest.mark.parametrize('strides', [(1, 1), (2, 2), (1, 2)])
def test_a_transposed_convolution_costs_its_image_times_its_kernel(strides):
    """Also one of stride 1, which is the same equation as a padded convolution (DCGAN's first layer)."""

    def conv(x, w):
        return lax.conv_transpose(x, w, strides, 'VALID')

    x, w = f32(2, 3, 3, 10), f32(4, 4, 10, 6)
    for program in (conv, jax.jit(conv), gradients(conv), gradients(jax.checkpoint(conv))):
        assert {op.dense_macs for op in count(program, x, w).operations} == {2 * 3 * 3 * 10 * 4 * 4 * 6}


@st.composite
def convolutions(draw):
    pads = st.tuples(st.integers(0, 3), st.integers(0, 3))
    options = {
        'window_strides': draw(st.sampled_from([(1, 1), (2, 2), (1, 2)])),
        'padding': (draw(pads), draw(pads)),
        'rhs_dilation': draw(st.sampled_from([(1, 1), (1, 2)])),
        'lhs_dilation': draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2)])),
    }
    return Convolution(
        draw(st.sampled_from(IMAGE_LAYOUTS)),
        draw(st.sampled_from(KERNEL_LAYOUTS)),
        draw(st.booleans()),
        tuple(options.items()),
        draw(st.sampled_from([1, 1, 2])),
        draw(st.sampled_from(IMAGE_LAYOUTS)),
    )


# cond reads a corner of the kernel, which any layout has.
RANDOM = ('jit', 'remat', 'remat_of_jit', 'scan', 'vmap', 'cond')


@settings(max_examples=100, deadline=None)
@given(convolutions(), st.lists(st.sampled_from(RANDOM), max_size=3), st.booleans())
def test_random_convolutions_in_random_programs(conv, wrappers, second):
    out = jax.eval_shape(conv, *conv.shapes)
    assume(min(out.shape) > 0)
    program = conv
    for name in wrappers:
        program = WRAPPERS[name](program)
    program = gradients(program)
    if second:
        program = gradients(partial(lambda first, x, w: first(x, w)[0], program))
    all_cost(program, conv)
