"""What a report says of a study over batch sizes: examples against steps to the target, and the critical batch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.analysis.charts import BLACK, COLOURS, GRAY, Chart, Series
from efficiency.analysis.critical_batch import LEAST_BATCHES, BatchFit, bootstrap_batches
from efficiency.analysis.document import Column, Section, Table, cell_text
from efficiency.analysis.runs import MeasuredRun, Target, have_one_recipe, of_one_recipe

_PLACES = 41
_METHODS = (
    'Each point is a seed of one batch size, at the learning rate that the study has for it; its crossing is '
    'interpolated between evaluations. The line is (S / S_min - 1) (E / E_min - 1) = 1 (McCandlish et al., 2018, '
    'equation 2.11), fitted to the logarithm of examples by a robust loss; intervals are of 95 %, over resampled seeds '
    'of each batch size. At the critical batch, E_min / S_min, a run takes twice the least examples and twice the '
    'fewest steps: below it batches cost little compute, above it they save little time.'
)


def batch_sections(name: str, target: Target, runs: Sequence[MeasuredRun]) -> list[Section]:
    """A section for each study with a network of four batch sizes or more that reach the target.

    Args:
        name: of the target, for files.
        target: of the metric and the data.
        runs: of any studies and data.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        batch = run.config.get('batch_size')
        if run.study and not run.is_tuning and run.can_be_asked(target) and batch and not run.config.get('stages'):
            groups[run.study, run.model][batch].append(run)
    sections = []
    for (study, model), every in sorted(groups.items()):
        if len(every) < LEAST_BATCHES:  # whatever its recipes, which take long to tell apart where there are many
            continue
        for recipe, by_batch in _groups(every):
            amounts = {batch: _examples(each, target) for batch, each in sorted(by_batch.items())}
            known = {batch: each for batch, each in amounts.items() if each}
            if len(known) >= LEAST_BATCHES:
                title = f'{model}{recipe and " "}{recipe}, {target}'
                sections.append(_section(f'{study}-{model}{recipe}-{name}', title, by_batch, known))
    return sections


def _groups(
    by_batch: Mapping[int, Sequence[MeasuredRun]],
) -> list[tuple[str, Mapping[int, Sequence[MeasuredRun]]]]:
    """Runs of one network by batch size, so that each size has one recipe.

    The rate that is best for a size may be another for each. Where a size has several recipes, those are taken that
    differ in the size alone, if they are enough; else the sizes that have one.
    """
    alone = {batch: runs for batch, runs in by_batch.items() if have_one_recipe({batch: runs})}
    groups = [] if len(alone) == len(by_batch) else of_one_recipe(by_batch, 'batch_size')
    if any(len(group) >= LEAST_BATCHES for _, group in groups):
        return groups
    left = sorted(set(by_batch) - set(alone))
    return [(f'(without batches of {", ".join(map(str, left))}, of several recipes)' if left else '', alone)]


def _examples(runs: Sequence[MeasuredRun], target: Target) -> list[float]:
    found = [run.crossing(target.metric, target.value, 'interpolated') for run in runs]
    return [crossing.examples for crossing in found if crossing.reached]


def _section(
    name: str, title: str, runs: Mapping[int, Sequence[MeasuredRun]], known: Mapping[int, Sequence[float]]
) -> Section:
    fit, ends = bootstrap_batches(known)

    def told(key: str) -> str:
        interval = f' [{", ".join(cell_text(end) for end in ends[key])}]' if ends else ', of one seed each'
        return f'{cell_text(getattr(fit, key))}{interval}'

    least, most = min(known), max(known)
    beyond = '' if least < fit.critical < most else ', outside the sizes that were tried'
    text = (
        f'The critical batch is {told("critical")}{beyond}; the least examples of any batch are {told("examples")}, '
        f'the fewest steps {told("steps")}. Batches of {least} to {most} were tried.'
    )
    rows = [
        {
            'batch': batch,
            'rate': runs[batch][0].config.get('learning_rate'),
            'seeds': len(runs[batch]),
            'reached': len(known.get(batch, ())),
            'examples': float(np.median(known[batch])) if batch in known else None,
            'steps': float(np.median(known[batch])) / batch if batch in known else None,
            'fitted': float(fit.examples_at(batch)),
        }
        for batch in sorted(runs)
    ]
    columns = (
        Column('batch', 'batch size'), Column('examples', 'examples, median', digits=4),
        Column('steps', 'steps, median', digits=4), Column('fitted', 'examples by the line', digits=4),
        Column('rate', 'learning rate'), Column('seeds', 'seeds'), Column('reached', 'reached it'),
    )  # fmt: skip
    table = Table(f'batches-{name}', f'By batch size: {title}', columns, rows)
    return Section(
        f'batches-{name}', f'Batches: {title}', [text], [_chart(name, title, known, fit)], [table], methods=[_METHODS]
    )


def _chart(name: str, title: str, known: Mapping[int, Sequence[float]], fit: BatchFit) -> Chart:
    points = [(amount / batch, amount, batch) for batch, each in known.items() for amount in each]
    steps, examples, of = zip(*points, strict=True)
    batches = np.geomspace(min(known) / 2, max(known) * 2, _PLACES)
    line = fit.examples_at(batches)
    left, right = (float(end) for end in ((line / batches).min(), (line / batches).max()))
    firsts = {batch: min(amount for amount, size in zip(examples, of, strict=True) if size == batch) for batch in known}
    series = [
        Series('fit', (line / batches).tolist(), line.tolist(), BLACK, marker='', dash='solid'),
        Series('least examples', [left, right], [fit.examples] * 2, GRAY, marker='', dash='dot'),
        Series('fewest steps', [fit.steps] * 2, [float(line.min()), float(line.max())], GRAY, marker='', dash='dash'),
        Series(
            'seeds', steps, examples, COLOURS[0],
            labels=[f'{batch}' if firsts[batch] == amount else '' for _, amount, batch in points],
            hover=[f'batches of {b}\n{s:,.0f} steps, {e:,.0f} examples' for s, e, b in points],
        ),
    ]  # fmt: skip
    return Chart(
        f'batches-{name}', f'Examples against steps, {title}', 'steps to the target', 'examples to the target', series,
        'Each point is a seed, with its batch size beside the first of them.', log_x=True, log_y=True,
    )  # fmt: skip
