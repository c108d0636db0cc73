"""torchvision's and timm's networks by our names, to be set beside ours."""

from typing import TYPE_CHECKING

from efficiency.errors import UserError

if TYPE_CHECKING:
    from torch import nn

# Published by others, whose counts `docs/networks.md` names.
_ELSEWHERE = ('inception_bn', 'lenet5', 'resnet50_fixup', 'shufflenet_v1')


def check_published(name: str) -> None:
    """Raises UserError if neither torchvision nor timm has the network."""
    if name.startswith(_ELSEWHERE):
        raise UserError(f'neither torchvision nor timm has {name}')


def published(name: str, num_classes: int = 1000, auxiliary_heads: bool = False) -> 'nn.Module':
    """Torch's network of that name as it is, randomly initialised: torchvision's, or timm's where torchvision has none.

    Raises:
        UserError: if neither has it.
        ImportError: if the one that has it is not installed.
    """
    check_published(name)
    if name.startswith('mobilenet_v1'):
        from timm.models.efficientnet import _gen_mobilenet_v1

        # Its widths have no public names, but for those above 1.
        _, _, width = name.partition('_x')
        multiplier = float(width.replace('_', '.') or 1)
        return _gen_mobilenet_v1('mobilenetv1_100', channel_multiplier=multiplier, num_classes=num_classes)
    import torchvision

    options = {'aux_logits': auxiliary_heads, 'init_weights': True} if name == 'googlenet' else {}
    if name.startswith('mobilenet_v2_x'):
        name, width = name.split('_x')
        options = {'width_mult': float(width.replace('_', '.'))}
    return getattr(torchvision.models, name)(num_classes=num_classes, **options)
