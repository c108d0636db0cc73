"""How loss depends on how large a network is and how much it has seen, and what that makes of compute.

Hoffmann et al., 2022 (arXiv:2203.15556), section 3.3, "approach 3": loss = E + A / size^alpha + B / data^beta, of which
log E, log A, log B, alpha and beta minimise Huber's loss of the logarithms, with a delta of 0.001, from many starts.
Size is what a forward pass of one example multiplies, and data are examples, so that compute is 3 x size x data: theirs
are parameters, tokens and 6 N D, which are these but for a factor where macs follow parameters.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize
from scipy.special import logsumexp

from efficiency.errors import UserError, shown

# 3 x forward: what a step multiplies of an example.
_PASSES = 3
_DELTA = 1e-3
_EXPONENTS = (0.15, 0.4, 0.9)
_SHARES = (0.1, 0.5, 0.85)
# Of many starts so many are gone on with to the end.
_FINALISTS = 3
# The fewest sizes of which a power law says more than a line through all of them would.
LEAST_SIZES = 4
# Where exponents are looked for, and how much of that is taken for an end: the search stops short of it.
LEAST_EXPONENT, LARGEST_EXPONENT = 1e-3, 5.0
_END = 1e-3


@dataclasses.dataclass(frozen=True)
class ScaleFit:
    """loss = irreducible + exp(log_a) / size^alpha + exp(log_b) / data^beta.

    Attributes:
        is_at_a_bound: whether the term of size or of data, or its exponent, was found at an end of where it was looked
            for: in these points the loss falls as no power of it.
    """

    irreducible: float
    log_a: float
    log_b: float
    alpha: float
    beta: float
    is_at_a_bound: bool = False

    def loss(self, size: Any, data: Any) -> Any:
        """Of a size, in macs of an example's forward pass, and of so many examples; numbers or arrays."""
        return (
            self.irreducible
            + np.exp(self.log_a - self.alpha * np.log(size))
            + np.exp(self.log_b - self.beta * np.log(data))
        )

    @property
    def exponent(self) -> float:
        """By which power of compute the reducible loss falls where size and data are the best for it."""
        return self.alpha * self.beta / (self.alpha + self.beta)

    @property
    def size_exponent(self) -> float:
        """By which power of compute the best size grows (their a); data grow by the rest (their b)."""
        return self.beta / (self.alpha + self.beta)

    def best(self, macs: Any) -> tuple[Any, Any]:
        """The size and the examples that are best for so much compute (their equation 4)."""
        product = np.asarray(macs, float) / _PASSES
        log_g = (math.log(self.alpha / self.beta) + self.log_a - self.log_b) / (self.alpha + self.beta)
        size = np.exp(log_g + self.size_exponent * np.log(product))
        return size, product / size

    def envelope(self, macs: Any) -> Any:
        """The least loss of so much compute."""
        return self.loss(*self.best(macs))

    def macs_to(self, loss: Any) -> Any:
        """The least compute to a loss; infinite at or below what is irreducible."""
        loss = np.asarray(loss, float)
        # The reducible loss is that of one mac over macs^exponent.
        reducible = float(self.envelope(1.0)) - self.irreducible
        with np.errstate(divide='ignore'):
            left = np.maximum(loss - self.irreducible, 0.0)
            return np.exp((math.log(reducible) - np.log(left)) / self.exponent)


def fit_scale(size: Sequence[float], data: Sequence[float], loss: Sequence[float]) -> ScaleFit:
    """The power law of points.

    Args:
        size: macs of an example's forward pass.
        data: examples seen.
        loss: of each, positive.

    Raises:
        UserError: if a number is not positive, or there are fewer than four sizes or six points.
    """
    points = [np.asarray(each, float) for each in (size, data, loss)]
    if len({each.shape for each in points}) > 1 or points[0].ndim != 1:
        raise UserError('sizes, data and losses of a power law must be as many of each')
    if not all((each > 0).all() and np.isfinite(each).all() for each in points):
        raise UserError('sizes, data and losses of a power law must be positive and finite')
    sizes = len(np.unique(points[0]))
    if sizes < LEAST_SIZES or len(points[0]) < 6:
        raise UserError(
            f'a power law needs {LEAST_SIZES} sizes and 6 points, and these are {sizes} and {len(points[0])}'
        )
    return _fit(*map(np.log, points), None)


def bootstrap_fits(
    runs: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]], draws: int, seed: int = 0
) -> tuple[ScaleFit, list[ScaleFit]]:
    """The power law of runs, and those of resamples of them: whole runs, as the points of one are not independent.

    There are none where no size has two runs: each resample of every size would be the runs themselves; nor where the
    fit is at a bound, and no power law.

    Args:
        runs: of each its points: sizes, data and losses.
        draws: resamples; those with fewer than four sizes are drawn again.
        seed: of numpy's generator.

    Raises:
        UserError: as `fit_scale`, or if `draws` are none.
    """
    if draws < 1:
        raise UserError(f'a bootstrap needs 1 draw or more, not {shown(draws)}')
    fit = fit_scale(*(np.concatenate(each) for each in zip(*runs, strict=True)))
    logs = [tuple(np.log(np.asarray(each, float)) for each in run) for run in runs]
    generator, found = np.random.default_rng(seed), []
    if len({float(run[0][0]) for run in runs}) == len(runs) or fit.is_at_a_bound:
        return fit, []
    while len(found) < draws:
        chosen = [logs[i] for i in generator.integers(len(logs), size=len(logs))]
        points = [np.concatenate(each) for each in zip(*chosen, strict=True)]
        if len(np.unique(points[0])) >= LEAST_SIZES:
            found.append(_fit(*points, fit))
    return fit, found


def factor_over(baseline: ScaleFit, other: ScaleFit, macs: Any) -> Any:
    """How many times more compute a baseline needs for what another family does with so much, each at its best.

    Infinite where it never gets there.
    """
    # Of a resample the best size may be too small or too large for a number.
    with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
        return baseline.macs_to(other.envelope(macs)) / np.asarray(macs, float)


def _fit(log_size: np.ndarray, log_data: np.ndarray, log_loss: np.ndarray, near: ScaleFit | None) -> ScaleFit:
    """The best of fits from many starts, or from near another."""
    # About the middle of the points, where the terms hardly depend on the exponents.
    size_mid, data_mid = log_size.mean(), log_data.mean()
    terms = np.stack([log_size - size_mid, log_data - data_mid])
    if near is None:
        least = math.exp(log_loss.min())
        starts = [
            (math.log(share * least), rest := math.log((math.exp(log_loss.mean()) - share * least) / 2), rest, a, b)
            for share, a, b in itertools.product(_SHARES, _EXPONENTS, _EXPONENTS)
        ]
    else:
        log_a, log_b = near.log_a - near.alpha * size_mid, near.log_b - near.beta * data_mid
        starts = [
            (math.log(max(near.irreducible * scale, 1e-9)), log_a, log_b, near.alpha, near.beta) for scale in (0.8, 1.0)
        ]
    low = np.array([-20, -20, -20, LEAST_EXPONENT, LEAST_EXPONENT])
    high = np.array([log_loss.min(), 20, 20, LARGEST_EXPONENT, LARGEST_EXPONENT])
    inside = 1e-6 * (high - low)

    def fitted(start, tolerance, evaluations):
        return optimize.least_squares(
            lambda values: _log_loss(values, terms)[0] - log_loss, np.clip(start, low + inside, high - inside),
            lambda values: _log_loss(values, terms)[1], (low, high), loss='huber', f_scale=_DELTA, x_scale='jac',
            ftol=tolerance, xtol=tolerance, gtol=tolerance, max_nfev=evaluations,
        )  # fmt: skip

    if len(starts) > _FINALISTS:
        rough = sorted((fitted(start, 1e-6, 50) for start in starts), key=lambda each: each.cost)
        starts = [each.x for each in rough[:_FINALISTS]]
    found = [fitted(start, 1e-12, 500) for start in starts]
    best = min(found, key=lambda each: each.cost).x
    log_e, log_a, log_b, alpha, beta = best.tolist()
    place = ((best - low) / (high - low))[1:]  # without an irreducible loss, at its end, there is a law all the same
    at_a_bound = bool(((place < _END) | (place > 1 - _END)).any())
    return ScaleFit(
        math.exp(log_e), log_a + alpha * float(size_mid), log_b + beta * float(data_mid), alpha, beta, at_a_bound
    )


def _log_loss(values: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of the loss at each point, and its derivatives (points, values)."""
    log_e, log_a, log_b, alpha, beta = values
    parts = np.stack([np.full(terms.shape[1], log_e), log_a - alpha * terms[0], log_b - beta * terms[1]])
    total = logsumexp(parts, axis=0)
    shares = np.exp(parts - total)
    return total, np.concatenate([shares, -shares[1:] * terms]).T
