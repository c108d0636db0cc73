"""What a report says of the noise of gradients, of runs whose batches were taken in parts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.analysis.charts import COLOURS, GRAY, Chart, Series
from efficiency.analysis.document import Column, Section, Table, cell_text
from efficiency.analysis.runs import MeasuredRun, Target, have_one_recipe, of_one_recipe
from efficiency.metrics import NOISE

_DRAWS, _SHARE = 1000, 0.95
_METHODS = (
    "The simple noise scale is tr(Sigma) / |G|^2, with G the gradient and Sigma the covariance of one example's: a "
    'batch of that size has as much noise as gradient (McCandlish et al., 2018, equation 2.9). Both are estimated '
    'from the squared norms of the gradients of parts of a batch and of the whole (appendix A.1), averaged over the '
    'last steps before each evaluation by a moving average and over evaluations to the target, and then divided. '
    'Intervals are of 95 %, over resampled seeds. It is of the order of the critical batch and no measure of it: '
    'that asks also how the loss is curved.'
)


def noise_sections(name: str, target: Target, runs: Sequence[MeasuredRun]) -> list[Section]:
    """A section for the runs with noise on a target's data, of any studies; none where there are no such runs.

    Args:
        name: of the target, for files.
        target: of the metric and the data.
        runs: of any studies and data.
    """
    found = [
        run for run in runs if run.can_be_asked(target) and not run.is_tuning and all(key in run.curve for key in NOISE)
    ]
    by_network = defaultdict(lambda: defaultdict(list))
    for run in found:
        by_network[run.model][run.config.get('batch_size')].append(run)
    groups = {
        (f'{model}{recipe and " "}{recipe}', batch): each
        for model, every in by_network.items()
        for recipe, by_batch in ([('', every)] if have_one_recipe(every) else of_one_recipe(every, 'batch_size'))
        for batch, each in by_batch.items()
    }
    return [_section(name, target, groups)] if groups else []


def noise_scale(runs: Sequence[MeasuredRun], target: Target) -> tuple[float | None, tuple[float, float] | None]:
    """The simple noise scale of runs to a target, in examples, and its 95 % interval over resampled seeds.

    Returns:
        None where the mean of |G|^2 is not above 0, as of much noise; and no interval of one seed.
    """
    found = np.array([_means(run, target) for run in runs])
    scale = _ratio(found.mean(0))
    if scale is None or len(runs) < 2:
        return scale, None
    random = np.random.default_rng(0)
    drawn = found[random.integers(0, len(runs), (_DRAWS, len(runs)))].mean(1)
    square, variance = drawn.T
    scales = np.divide(variance, square, out=np.full(_DRAWS, np.inf), where=square > 0)
    ends = (1 - _SHARE) / 2, (1 + _SHARE) / 2
    low, high = (float(end) for end in np.quantile(scales, ends, method='nearest'))
    return scale, (low, high)


def _means(run: MeasuredRun, target: Target) -> list[float]:
    """The means of |G|^2 and tr(Sigma) over a run's evaluations, to the first at the target."""
    there = target.metric.meets(run.curve[target.metric.name], target.value)
    last = int(np.argmax(there)) + 1 if there.any() else len(there)
    return [float(run.curve[key][:last].mean()) for key in NOISE]


def _ratio(means: np.ndarray) -> float | None:
    square, variance = means
    return float(variance / square) if square > 0 else None


def _section(name: str, target: Target, groups: Mapping[tuple, Sequence[MeasuredRun]]) -> Section:
    rows, series, said = [], [], []
    for i, ((model, batch), runs) in enumerate(sorted(groups.items())):
        scale, ends = noise_scale(runs, target)
        interval = f'[{", ".join(map(cell_text, ends))}]' if ends else None
        rows.append({
            'model': model, 'batch': batch, 'scale': scale, 'interval': interval or '[one seed: not known]',
            'parts': runs[0].config.get('microbatches'), 'seeds': len(runs),
        })  # fmt: skip
        told = (
            'not known, as noise hides the gradient'
            if scale is None
            else ' '.join(filter(None, [cell_text(scale), interval]))
        )
        said.append(f'{model} in batches of {batch}: {told}')
        x, y = _over_training(runs)
        series.append(Series(f'{model}, batches of {batch}', x, y, COLOURS[i % len(COLOURS)], dash='solid'))
        series.append(Series('', [min(x), max(x)], [batch] * 2, GRAY, marker='', dash='dot'))
    columns = (
        Column('model', 'network'), Column('batch', 'batch size'), Column('scale', 'simple noise scale, examples'),
        Column('interval', '95 % interval'), Column('parts', 'parts of a batch'), Column('seeds', 'seeds'),
    )  # fmt: skip
    chart = Chart(
        f'noise-{name}', f'Noise of gradients on the way, {target.dataset}', 'examples', 'simple noise scale, examples',
        series, 'The mean over seeds at each evaluation; the dotted line is the batch that it was trained in.',
        log_y=True,
    )  # fmt: skip
    table = Table(f'noise-{name}', f'Noise of gradients to {target}', columns, rows)
    text = [f'The simple noise scale to {target}: {"; ".join(said)}.']
    return Section(f'noise-{name}', f'Noise of gradients: {target}', text, [chart], [table], methods=[_METHODS])


def _over_training(runs: Sequence[MeasuredRun]) -> tuple[list[float], list[float | None]]:
    """Examples, and the noise scale there, of the means over seeds; None where noise hides the gradient."""
    length = min(len(run.curve['examples']) for run in runs)
    square, variance = (np.mean([run.curve[key][:length] for run in runs], 0) for key in NOISE)
    scales = [float(v / s) if s > 0 and v > 0 else None for s, v in zip(square, variance, strict=True)]
    return runs[0].curve['examples'][:length].tolist(), scales
