"""Networks that neither torchvision nor timm has, against sums over the layers of their papers' tables."""

import pytest

from efficiency.count import count_network


class Sum:
    """Parameters and dense forward multiply-adds of layers one behind the other."""

    def __init__(self, size, channels):
        self.size, self.channels, self.params, self.macs = size, channels, 0, 0

    def conv(self, features, kernel=1, stride=1, groups=1, norm=True, bias=False):
        self.size = -(-self.size // stride)
        weights = kernel**2 * self.channels // groups * features
        self.params += weights + (2 * norm + bias) * features
        self.macs += self.size**2 * weights
        self.channels = features
        return self

    def linear(self, features):
        self.params += (self.channels + 1) * features
        self.macs += self.channels * features
        self.channels = features
        return self

    def beside(self, *branches):
        """Branches that begin where this is, side by side; each a function of a sum that begins there."""
        ends = [branch(Sum(self.size, self.channels)) for branch in branches]
        self.params += sum(end.params for end in ends)
        self.macs += sum(end.macs for end in ends)
        self.size, self.channels = ends[0].size, sum(end.channels for end in ends)
        return self


def counted(name, **more):
    row = count_network(name, **more)
    return row['params'], row['forward_dense_macs']


# Zhang et al., 2017 (arXiv:1707.01083), table 1 (and 2: widths): groups, the first stage's channels, the first layer's.
SHUFFLENETS = {
    'x1_0': (3, 240, 24), 'x0_25': (3, 60, 6), 'x0_5': (3, 120, 12), 'x1_5': (3, 360, 24), 'x2_0': (3, 480, 48),
    'g1_x1_0': (1, 144, 24), 'g2_x1_0': (2, 200, 24), 'g4_x1_0': (4, 272, 24), 'g8_x1_0': (8, 384, 24),
}  # fmt: skip


@pytest.mark.parametrize(
    'form', [form if form in ('x1_0', 'x0_5') else pytest.param(form, marks=pytest.mark.slow) for form in SHUFFLENETS]
)
def test_shufflenet_v1(form):
    groups, width, stem = SHUFFLENETS[form]
    total = Sum(224, 3).conv(stem, 3, 2)
    total.size = 56  # the pool
    for stage, units in enumerate((4, 8, 4)):
        features = width * 2**stage
        for unit in range(units):
            inputs, stride = total.channels, 2 if unit == 0 else 1
            first_groups = 1 if stage == unit == 0 else groups
            total.conv(features // 4, groups=first_groups).conv(features // 4, 3, stride, groups=features // 4)
            total.conv(features - inputs if unit == 0 else features, groups=groups)
            total.channels = features
    total.linear(1000)
    assert counted(f'shufflenet_v1_{form}') == (total.params, total.macs)


# Ioffe & Szegedy, 2015 (arXiv:1502.03167), figure 5: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, projection.
INCEPTION = (
    (64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64), (0, 128, 160, 64, 96, 0),
    (224, 64, 96, 96, 128, 128), (192, 96, 128, 96, 128, 128), (160, 128, 160, 128, 160, 128),
    (96, 128, 192, 160, 192, 128), (0, 128, 192, 192, 256, 0),
    (352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128),
)  # fmt: skip


def test_inception_bn():
    # Convolutions have biases, as in Cadene's network.
    total = Sum(224, 3).conv(64, 7, 2, bias=True)
    total.size = 56
    total.conv(64, bias=True).conv(192, 3, bias=True)
    total.size = 28
    for single, reduce, triple, double_reduce, double, projection in INCEPTION:
        stride = 1 if single else 2

        def single_branch(at, features=single):
            return at.conv(features, bias=True)

        def triple_branch(at, reduce=reduce, features=triple, stride=stride):
            return at.conv(reduce, bias=True).conv(features, 3, stride, bias=True)

        def double_branch(at, reduce=double_reduce, features=double, stride=stride):
            return at.conv(reduce, bias=True).conv(features, 3, bias=True).conv(features, 3, stride, bias=True)

        def pool_branch(at, features=projection):
            return at.conv(features, bias=True) if features else at

        total.beside(*[single_branch] * bool(single), triple_branch, double_branch, pool_branch)
    total.linear(1000)
    assert (total.size, total.channels) == (7, 1000)
    assert counted('inception_bn') == (total.params, total.macs) == (11_295_240, 2_032_600_064)


def test_fixup_is_resnet50_with_scalars_for_its_norms():
    params, macs = counted('resnet50')
    norms = 64 + sum(
        blocks * (2 * width + 4 * width) + 4 * width for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512))
    )
    # Zhang et al., 2019 (arXiv:1901.09321), figure 1: two biases a convolution and a multiplier; two more at the ends.
    assert counted('resnet50_fixup') == (params - 2 * norms + 16 * 7 + 2, macs)
    assert params - 2 * norms + 16 * 7 + 2 == 25_504_026


def test_lenet5():
    # LeCun et al., 1998, figure 2, three channels in and every map of C3 connected to all of S2.
    params = (25 * 3 + 1) * 6 + (25 * 6 + 1) * 16 + (400 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
    macs = 28**2 * 75 * 6 + 10**2 * 150 * 16 + 400 * 120 + 120 * 84 + 84 * 10
    assert counted('lenet5', num_classes=10) == (params, macs) == (62_006, 651_720)
