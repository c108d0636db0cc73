"""What torch, fvcore and THOP count of a network, beside our count, and why they differ.

Each counts multiply-adds in the dense convention (torch two flops for each), and some of what is no multiply-add of a
convolution or a matrix multiply. Such a habit is a rule here: how much it adds is found from the shapes that the
network's layers see, not from the framework's own report, and what no rule explains is said to be unexplained.
"""

import contextlib
import importlib.util
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from efficiency.errors import UserError, named
from efficiency.flops.jaxpr import Count

if TYPE_CHECKING:
    from torch import nn

# By what each rule is called in a reason, how many multiply-adds it adds.
Reasons = dict[str, int]
EQUAL, UNEXPLAINED = 'equal', 'unexplained'


def compare(
    network: Callable[[], 'nn.Module'], image_size: int, forward: Count, train: Count, frameworks: Sequence[str]
) -> list[dict[str, Any]]:
    """Counts torch's network with other frameworks' counters, and sets ours beside them.

    Args:
        network: makes it; its forward pass takes (n, 3, size, size) and returns logits. It is made without memory for
            its parameters, which fvcore alone is then given.
        image_size: pixels a side.
        forward, train: our counts, of one example's forward pass and of its train step without an optimizer.
        frameworks: names of `FRAMEWORKS`.

    Returns:
        For each framework and each pass that it counts {'framework', 'pass': 'forward' or 'train', 'our_dense_macs',
        'their_macs', 'difference': theirs less ours, 'reason': the rules that make it up, `EQUAL`, or with
        `UNEXPLAINED` what they do not make up}.

    Raises:
        KeyError: for a framework that there is not.
        ImportError: for one that is not installed; `check_frameworks` finds both before anything is counted.
    """
    import torch

    ours = {'forward': forward, 'train': train}
    rows = []
    for name in frameworks:
        with torch.device('meta'):
            made = network()
        found = FRAMEWORKS[name](made, image_size, train)
        for part, (macs, reasons) in found.items():
            difference = macs - ours[part].dense_macs
            rows.append({
                'framework': name,
                'pass': part,
                'our_dense_macs': ours[part].dense_macs,
                'their_macs': macs,
                'difference': difference,
                'reason': _reason(difference, reasons),
            })  # fmt: skip
    return rows


def check_frameworks(frameworks: Sequence[str]) -> None:
    """Raises UserError for a framework that there is not, or that is not installed, or torch's networks are not."""
    for name in frameworks:
        named(FRAMEWORKS, 'framework', name)
        for module in (name, 'torch', 'torchvision', 'timm'):
            if importlib.util.find_spec(module) is None:
                raise UserError(f'--against={name} needs {module}, which is not installed: pip install ".[crosscheck]"')


def _reason(difference: int, reasons: Reasons) -> str:
    left = difference - sum(reasons.values())
    parts = [f'{why}: {macs:+,}' for why, macs in (reasons | {UNEXPLAINED: left}).items() if macs]
    return '; '.join(parts) or EQUAL


def _torch(network: 'nn.Module', size: int, train: Count) -> Mapping[str, tuple[int, Reasons]]:
    """torch.utils.flop_counter.FlopCounterMode, forward and with the backward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # Two, as batch norm needs more than one value for each channel.
    images = torch.empty(2, 3, size, size, device='meta')

    def macs(run):
        with FlopCounterMode(display=False) as mode:
            run()
        return mode.get_total_flops() // 2 // len(images)

    network.eval()
    forward = macs(lambda: network(images))
    network.train()
    both = macs(lambda: network(images).sum().backward())
    return {
        'forward': (forward, {}),
        'train': (both, {'grouped weight gradients counted for each group': _grouped(train)}),
    }


def _grouped(train: Count) -> int:
    """What counting every grouped convolution's weight gradient as if each group saw all channels adds."""
    return sum(
        op.times * op.dense_macs * (max(op.eqn.params['feature_group_count'], op.eqn.params['batch_group_count']) - 1)
        for op in train.by_conv_pass()['weight_gradient'].operations
    )


def _fvcore(network: 'nn.Module', size: int, train: Count) -> Mapping[str, tuple[int, Reasons]]:
    """fvcore.nn.FlopCountAnalysis of the forward pass in evaluation."""
    import torch
    from fvcore.nn import FlopCountAnalysis
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    class Elements(TorchFunctionMode):
        """Adds up the elements that go into batch norm and adaptive pooling."""

        def __init__(self):
            self.normalised = self.pooled = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is functional.batch_norm:
                self.normalised += args[0].numel()
            elif function is functional.adaptive_avg_pool2d:
                self.pooled += args[0].numel()
            return function(*args, **(kwargs or {}))

    # It traces, which takes numbers; which ones makes no difference.
    network.eval().to_empty(device='cpu')
    images = torch.zeros(1, 3, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        analysis = FlopCountAnalysis(network, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        macs = int(analysis.total())
    with Elements() as elements, torch.no_grad():
        network(images)
    reasons = {
        'batch norm counted, 2 an element': 2 * elements.normalised,
        'adaptive pooling counted, 1 an element': elements.pooled,
    }
    return {'forward': (macs, reasons)}


def _thop(network: 'nn.Module', size: int, train: Count) -> Mapping[str, tuple[int, Reasons]]:
    """thop.profile of the forward pass in evaluation."""
    import thop
    import torch
    from torch import nn

    reasons = {'batch norm counted, 4 an element': 0, 'average pooling counted, 1 a result': 0,
               'adaptive pooling counted, 1 an element and 1 a result': 0}  # fmt: skip
    norm, pool, adaptive = reasons

    def note(module, inputs, output):
        # THOP goes by a layer's very type: what is derived from it, or called as a function, it does not see.
        if type(module) is nn.BatchNorm2d:
            reasons[norm] += 4 * inputs[0].numel()
        elif type(module) is nn.AvgPool2d:
            reasons[pool] += output.numel()
        elif type(module) is nn.AdaptiveAvgPool2d:
            taps = math.prod(inputs[0].shape[2:]) / math.prod(output.shape[2:])
            reasons[adaptive] += int((taps + 1) * output.numel())

    network.eval()
    images = torch.empty(1, 3, size, size, device='meta')
    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    with contextlib.redirect_stdout(io.StringIO()):
        macs, _ = thop.profile(network, (images,), verbose=False)
    return {'forward': (int(macs), reasons)}


FRAMEWORKS: Mapping[str, Callable[['nn.Module', int, Count], Mapping[str, tuple[int, Reasons]]]] = {
    'torch': _torch, 'fvcore': _fvcore, 'thop': _thop,
}  # fmt: skip
