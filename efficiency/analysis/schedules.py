"""The learning-rate schedules of the figures, in numpy: a report never imports jax.

A test holds them equal to those that train, `efficiency.training.schedules`.
"""

import numpy as np

SCHEDULES = ('exponential', 'steps', 'cosine', 'constant')


def learning_rate(name: str, peak: float, epochs: float, warmup_epochs: float, at: np.ndarray) -> np.ndarray:
    """The learning rate at some epochs of a run.

    Args:
        name: one of `SCHEDULES`.
        peak: the highest.
        epochs: length of the run; the decay covers what follows the warm-up.
        warmup_epochs: in which the rate first rises linearly.
        at: epochs since the start, (n,).
    """
    share = np.clip((at - warmup_epochs) / (epochs - warmup_epochs), 0, 1)
    decay = {
        'exponential': lambda: 10 ** (-3 * share),
        'steps': lambda: 10.0 ** -np.floor(3 * np.minimum(share, 1 - 1e-6)),
        'cosine': lambda: (1 + np.cos(np.pi * share)) / 2,
        'constant': lambda: np.ones_like(share),
    }[name]()
    rise = at / warmup_epochs if warmup_epochs else np.ones_like(decay)
    return peak * np.where(at < warmup_epochs, rise, decay)
