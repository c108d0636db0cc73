"""Torch's networks, also in the small-image form of ours, so that both do the same work.

torchvision's own (timm's MobileNet v1), changed where our form of 64 pixels and below departs from the network
(`docs/networks.md`): a strided convolution takes stride 1, a pool becomes the identity, and the first linear layer
takes the smaller map. ShuffleNet v1, which neither has, is written out.
"""

import torch
from torch import nn

from efficiency.tasks.images.networks.torch_networks import published

# Module paths: convolutions whose stride becomes 1, pools that go away.
SMALL_FORMS = {
    'alexnet': ((), ('features.5', 'features.12')),
    'densenet121': ((), ('features.transition2.pool', 'features.transition3.pool')),
    'efficientnet_b0': (('features.6.0.block.1.0',), ()),
    'googlenet': ((), ('maxpool3', 'maxpool4')),
    'mobilenet_v1': (('blocks.4.0.conv_dw',), ()),
    'mobilenet_v2': (('features.14.conv.1.0',), ()),
    'resnet18': (('layer4.0.conv1', 'layer4.0.downsample.0'), ()),
    'resnet50': (('layer4.0.conv2', 'layer4.0.downsample.0'), ()),
    'resnext50_32x4d': (('layer4.0.conv2', 'layer4.0.downsample.0'), ()),
    'shufflenet_v1_x1_0': ((), ()),
    'shufflenet_v2_x1_0': (('stage4.0.branch1.0', 'stage4.0.branch2.3'), ()),
    'squeezenet1_1': ((), ('features.8',)),
    'vgg11': ((), ('features.15', 'features.20')),
}


def create(name: str, num_classes: int, image_size: int) -> nn.Module:
    """Torch's network of that name for images of that size, randomly initialised, in training mode."""
    if name == 'shufflenet_v1_x1_0':
        return ShuffleNetV1(num_classes, last_stride=1 if image_size <= 64 else 2)
    network = published(name, num_classes)
    if image_size <= 64:
        strided, pools = SMALL_FORMS[name]
        for path in strided:
            network.get_submodule(path).stride = (1, 1)
        for path in pools:
            network.set_submodule(path, nn.Identity())
        if name in ('alexnet', 'vgg11'):
            _see_the_map_as_it_is(network, image_size)
    return network.train()


def _see_the_map_as_it_is(network: nn.Module, image_size: int) -> None:
    with torch.no_grad():
        features = network.features(torch.zeros(1, 3, image_size, image_size))[0].numel()
    path = next(path for path, layer in network.named_modules() if isinstance(layer, nn.Linear))
    layer = network.get_submodule(path)
    if features < layer.in_features:
        network.avgpool = nn.Identity()
        network.set_submodule(path, nn.Linear(features, layer.out_features))


class ShuffleUnit(nn.Module):
    """ShuffleNet v1's unit (Zhang et al., 2017, figure 2)."""

    def __init__(self, inputs: int, features: int, groups: int, groups_in: int, stride: int, concat: bool):
        super().__init__()
        middle, branch = features // 4, features - inputs if concat else features
        self.groups, self.concat = groups, concat
        self.compress = nn.Sequential(
            nn.Conv2d(inputs, middle, 1, groups=groups_in, bias=False), nn.BatchNorm2d(middle), nn.ReLU(inplace=True)
        )
        self.expand = nn.Sequential(
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            nn.BatchNorm2d(middle),
            nn.Conv2d(middle, branch, 1, groups=groups, bias=False),
            nn.BatchNorm2d(branch),
        )
        self.shortcut = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()

    def forward(self, x):
        """(n, inputs, h, w) -> (n, features, h / stride, w / stride)."""
        branch = self.expand(nn.functional.channel_shuffle(self.compress(x), self.groups))
        shortcut = self.shortcut(x)
        return nn.functional.relu(torch.cat([shortcut, branch], 1) if self.concat else shortcut + branch)


class ShuffleNetV1(nn.Module):
    """ShuffleNet v1 1x with 3 groups (Zhang et al., 2017, table 1)."""

    def __init__(self, num_classes: int, last_stride: int):
        super().__init__()
        layers = [nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
        inputs = 24
        for features, units, stride in ((240, 4, 2), (480, 8, 2), (960, 4, last_stride)):
            for unit in range(units):
                first = unit == 0
                groups_in = 1 if inputs == 24 else 3
                layers.append(ShuffleUnit(inputs, features, 3, groups_in, stride if first else 1, first))
                inputs = features
        self.features, self.fc = nn.Sequential(*layers), nn.Linear(inputs, num_classes)

    def forward(self, x):
        """(n, 3, h, w) -> (n, num_classes)."""
        return self.fc(self.features(x).mean((2, 3)))
