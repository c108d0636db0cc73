"""Training steps on rows of tokens, by the optimizers of the recipes: AdamW, and Muon for `transformer_lm`'s matrices.

Gradients are clipped by their norm. Torch's attention is `scaled_dot_product_attention`, its LSTM its own.
"""

from collections.abc import Callable

from benchmarks import steps
from benchmarks.steps import Steps

SIZE, UNIT = 'length', 'tokens'
COUNTED: dict[str, int] = {}
LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP_NORM = 1e-3, (0.9, 0.95), 0.1, 1.0
# The network whose layers' matrices are Muon's, and at which rate.
MUON, MUON_RATE = 'transformer_lm', 0.02


def ours(name: str, length: int, batch_size: int) -> Steps:
    """Our train step."""
    from efficiency.tasks.networks import alone
    from efficiency.training.parameter_groups import grouped_optimizer
    from efficiency.training.schedules import make_schedule

    _, found = alone(name, batch_size, length=length)
    section = {'name': 'adamw', 'momentum': BETAS[0], 'b2': BETAS[1]}
    if name == MUON:
        section['groups'] = ({'params': r'blocks_\d+/.*kernel', 'name': 'muon', 'learning_rate': MUON_RATE},)
    optimizer = grouped_optimizer(
        section, lambda peak: make_schedule('cosine', peak, 10**6, 0), LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM
    )
    return steps.of_network(found, optimizer, _batch(found.network, length, batch_size))


def _of_torch(name: str, length: int, batch_size: int) -> Steps:
    import torch

    from benchmarks import torch_language
    from efficiency.tasks.networks import alone

    steps.use_all_cores()
    model = alone(name, length=length)[1].network
    network = torch_language.create(model)
    parameters = list(network.parameters())
    matrices = [one for one in network.layers.parameters() if one.ndim == 2] if name == MUON else []
    others = [one for one in parameters if not any(one is each for each in matrices)]
    optimizers = [torch.optim.AdamW(others, lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True)]
    if matrices:
        optimizers.append(torch_language.Muon(matrices, MUON_RATE, WEIGHT_DECAY))
    batch = {key: torch.from_numpy(tokens).long() for key, tokens in _batch(model, length, batch_size).items()}

    def loss():
        return torch.nn.functional.cross_entropy(network(batch['tokens']).flatten(0, 1), batch['wanted'].flatten())

    def before_update():
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM, foreach=True)
        for more in optimizers[1:]:
            more.step()
            more.zero_grad()

    return steps.of_torch(loss, optimizers[0], before_update)


# Torch's forms of the step, of which the fastest counts.
TORCH: dict[str, Callable[..., Steps]] = {'torch': _of_torch}


def _batch(model, length, batch_size):
    import numpy as np

    from efficiency.data.tokens import UNKNOWN

    rows = np.random.RandomState(0).randint(UNKNOWN + 1, model.vocabulary, (batch_size, length + 1), dtype=np.int32)
    return {'tokens': rows[:, :-1].copy(), 'wanted': rows[:, 1:].copy()}
