"""What batches cost: steps against examples to a target, and the batch at which more of one saves little of the other.

Training to a loss takes the fewest examples in small batches and the fewest steps in large ones. McCandlish et al.
(2018, arXiv:1812.06162, equation 2.11) find the trade between them to be a hyperbola, (S / S_min - 1) (E / E_min - 1)
= 1, whose corner is at the critical batch E_min / S_min: with E = B S that is E = E_min + S_min B, a straight line in
the batch size B.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize, special

from efficiency.errors import UserError, shown

LEAST_BATCHES = 4
_DELTA = 0.1  # of the logarithm of examples, from where a point counts less: a tenth more or less
_SHARE = 0.95


@dataclasses.dataclass(frozen=True)
class BatchFit:
    """A hyperbola.

    Attributes:
        examples: the least examples that any batch takes, E_min.
        steps: the fewest steps that any batch takes, S_min.
    """

    examples: float
    steps: float

    @property
    def critical(self) -> float:
        """The critical batch: there both examples and steps are twice their least."""
        return self.examples / self.steps

    def examples_at(self, batch: np.ndarray) -> np.ndarray:
        """Examples to the target in batches of this size."""
        return self.examples + self.steps * np.asarray(batch, float)


def fit_batches(batches: Sequence[float], examples: Sequence[float]) -> BatchFit:
    """The hyperbola of points, by the robust least squares of the logarithm of examples.

    Args:
        batches: the size of each point's batch.
        examples: what it took to the target.

    Raises:
        UserError: if one is not positive and finite, or there are fewer than four sizes.
    """
    batches, examples = np.asarray(batches, float), np.asarray(examples, float)
    if batches.shape != examples.shape or batches.ndim != 1:
        raise UserError(f'there are {batches.size} batch sizes for {examples.size} amounts of examples')
    if not all((each > 0).all() and np.isfinite(each).all() for each in (batches, examples)):
        raise UserError('batch sizes and examples must be positive and finite')
    if (sizes := len(np.unique(batches))) < LEAST_BATCHES:
        raise UserError(f'a critical batch is fitted to {LEAST_BATCHES} batch sizes or more, and these are {sizes}')
    return _fit(batches, examples, BatchFit(examples.min() / 2, (examples / batches).min() / 2))


def _fit(batches: np.ndarray, examples: np.ndarray, near: BatchFit) -> BatchFit:
    # In these two logarithms the fit is the same from any start, and from a near one it is found sooner.
    log_batches, log_examples = np.log(batches), np.log(examples)

    def residuals(logs):
        return np.logaddexp(logs[0], logs[1] + log_batches) - log_examples

    def slopes(logs):
        of_steps = special.expit(logs[1] + log_batches - logs[0])
        return np.stack([1 - of_steps, of_steps], axis=1)

    found = optimize.least_squares(
        residuals, np.log([near.examples, near.steps]), slopes, loss='huber', f_scale=_DELTA, xtol=1e-12, ftol=1e-12
    )
    return BatchFit(*np.exp(found.x).tolist())


def bootstrap_batches(
    by_batch: Mapping[int, Sequence[float]], draws: int = 500, seed: int = 0
) -> tuple[BatchFit, dict[str, tuple[float, float]] | None]:
    """The hyperbola of seeds, and 95 % intervals of its numbers over resamples of the seeds of each batch size.

    Args:
        by_batch: of each batch size what its seeds took.
        draws: resamples.
        seed: of numpy's generator.

    Returns:
        The fit, and the ends by `examples`, `steps` and `critical`; None where no batch size has two seeds.

    Raises:
        UserError: as `fit_batches`, or if `draws` are none.
    """
    if draws < 1:
        raise UserError(f'a bootstrap needs 1 draw or more, not {shown(draws)}')
    batches = np.repeat([float(batch) for batch in by_batch], [len(each) for each in by_batch.values()])
    seeds = [np.asarray(each, float) for each in by_batch.values()]
    fit, random = fit_batches(batches, np.concatenate(seeds)), np.random.default_rng(seed)
    if all(len(each) < 2 for each in seeds):
        return fit, None
    found = [
        _fit(batches, np.concatenate([random.choice(each, len(each)) for each in seeds]), fit) for _ in range(draws)
    ]
    ends = ((1 - _SHARE) / 2, (1 + _SHARE) / 2)
    return fit, {
        name: tuple(float(end) for end in np.quantile([getattr(each, name) for each in found], ends))
        for name in ('examples', 'steps', 'critical')
    }
