"""Training steps on pairs of sentences, as the recipe for Multi30k has them: Adam, of gradients clipped by their norm.

Sentences are of two thirds of the length to all of it, by chance; torch's LSTMs over a source leave out its padding.
"""

from collections.abc import Callable

from benchmarks import steps
from benchmarks.steps import Steps

SIZE, UNIT = 'length', 'tokens'
COUNTED: dict[str, int] = {}
LEARNING_RATE, BETAS, CLIP_NORM = 1e-3, (0.9, 0.98), 1.0


def ours(name: str, length: int, batch_size: int) -> Steps:
    """Our train step."""
    from efficiency.tasks.networks import alone
    from efficiency.training.optimizer import make_optimizer
    from efficiency.training.schedules import make_schedule

    _, found = alone(name, batch_size, length=length)
    schedule = make_schedule('cosine', LEARNING_RATE, 10**6, 0)
    optimizer = make_optimizer('adamw', schedule, 0.0, CLIP_NORM, momentum=BETAS[0], b2=BETAS[1])
    return steps.of_network(found, optimizer, _batch(found.network, length, batch_size))


def _of_torch(name: str, length: int, batch_size: int) -> Steps:
    import torch

    from benchmarks import torch_translation
    from efficiency.tasks.networks import alone

    steps.use_all_cores()
    model = alone(name, length=length)[1].network
    network = torch_translation.create(model)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=BETAS, fused=True)
    batch = {key: torch.from_numpy(tokens).long() for key, tokens in _batch(model, length, batch_size).items()}
    target, wanted = batch['target'][:, :-1], batch['target'][:, 1:].flatten()

    def loss():
        logits = network(batch['source'], target).flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits, wanted, ignore_index=torch_translation.PADDING)

    return steps.of_torch(loss, optimizer, lambda: torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM, foreach=True))


# Torch's forms of the step, of which the fastest counts.
TORCH: dict[str, Callable[..., Steps]] = {'torch': _of_torch}


def _batch(model, length, batch_size):
    import numpy as np

    from efficiency.data.tokens import BEGIN, PADDING, UNKNOWN

    draw, first = np.random.RandomState(0), UNKNOWN + 1

    def sentences(vocabulary):
        lengths = draw.randint(-(-2 * length // 3), length + 1, (batch_size, 1))
        tokens = draw.randint(first, vocabulary, (batch_size, length), dtype=np.int32)
        return np.where(np.arange(length) < lengths, tokens, PADDING).astype(np.int32)

    target = np.insert(sentences(model.target_vocab), 0, BEGIN, axis=1)
    return {'source': sentences(model.source_vocab), 'target': target}
