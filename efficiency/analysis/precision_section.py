"""What a report says of a study over precisions: compute to the target in each, and what a device makes of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from efficiency.analysis.cells import amount_cells, amount_column, factor_cells, factor_column, parts, range_text
from efficiency.analysis.document import Column, Section, Table, address
from efficiency.analysis.factors import Factor, factors_over
from efficiency.analysis.runs import MeasuredRun, System, Target, of_one_recipe, seeds_of
from efficiency.analysis.survival import Seeds, summary_over_seeds
from efficiency.published.prices import Peak

_BASE = 'float32'
_METHODS = (
    'A gain is the train compute that float32 takes to the target over what the precision takes, medians over seeds '
    'with 95 % intervals; crossings are interpolated between evaluations. A multiply-add counts the same in each. '
    'float16 scales its loss (Micikevicius et al., 2018); fixed16 is 16 bits of fixed point with stochastic rounding '
    '(Gupta et al., 2015), fixed16_nearest with rounding to nearest: both simulated in float32, so that their macs are '
    'those that such a device would do, and their seconds say nothing.'
)
_EFFECTIVE = (
    "Effective compute is the gain times what the device's peak in this precision is of its peak in float32: how many "
    'times sooner it would be there if it multiplied at its peak throughout, which no device does. Peaks are the '
    "makers', dense; float32 is in all of its bits."
)


def precision_sections(name: str, target: Target, runs: Sequence[MeasuredRun], peaks: Sequence[Peak]) -> list[Section]:
    """A section for each study with a network that was trained in float32 and in another precision.

    Args:
        name: of the target, for files.
        target: of the metric and the data.
        runs: of any studies and data.
        peaks: of devices.
    """
    groups: dict[tuple, dict[str, list[MeasuredRun]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.study and not run.is_tuning and run.can_be_asked(target):
            groups[run.study, run.model][run.precision].append(run)
    return [
        _section(
            f'{study}-{model}{recipe}-{name}', f'{model}{recipe and " "}{recipe}, {target}', target, by_precision, peaks
        )
        for (study, model), every in sorted(groups.items())
        if len(every) > 1  # of many recipes in one precision, asking for their groups would take long
        for recipe, by_precision in of_one_recipe(every, 'precision')
        if len(by_precision) > 1 and _BASE in by_precision
    ]


def _section(
    name: str, title: str, target: Target, runs: Mapping[str, Sequence[MeasuredRun]], peaks: Sequence[Peak]
) -> Section:
    seeds = {
        precision: seeds_of(System(precision, '', each).crossings(target, 'interpolated'))
        for precision, each in runs.items()
    }
    factors = factors_over(seeds, _BASE)
    order = sorted(factors, key=lambda precision: (precision != _BASE, precision))
    columns = (
        Column('precision', 'precision'), factor_column('gain', 'gain over float32'),
        amount_column('train_macs', 'train compute, macs'), Column('range', 'of the seeds'), Column('seeds', 'seeds'),
        Column('reached', 'reached it'), Column('final', f'{target.metric.name} at the end, mean'),
    )  # fmt: skip
    rows = [_row(precision, runs[precision], seeds[precision], factors[precision], target) for precision in order]
    tables = [
        Table(f'precision-{name}', f'By precision: {title}', columns, rows, in_file=parts(['train_macs'], ['gain']))
    ]
    if effective := _effective(factors, peaks):
        columns = (
            Column('device', 'device'), Column('precision', 'precision'),
            factor_column('effective', 'effective compute'), Column('ratio', 'its peak over that of float32'),
            Column('tflops', 'peak, teraflop/s', link='href'),
        )  # fmt: skip
        tables.append(
            Table(
                f'effective-{name}', 'On a device at its peak', columns, effective, _EFFECTIVE, parts([], ['effective'])
            )
        )
    return Section(f'precision-{name}', f'Precision: {title}', [], tables=tables, methods=[_METHODS])


def _row(precision: str, runs: Sequence[MeasuredRun], seeds: Seeds, factor: Factor, target: Target) -> dict:
    found = summary_over_seeds(seeds)
    ends = [float(run.curve[target.metric.name][-1]) for run in runs]
    return {
        'precision': precision, **factor_cells('gain', factor), **amount_cells('train_macs', found),
        'range': range_text(found), 'seeds': found.n, 'reached': found.n_reached, 'final': sum(ends) / len(ends),
    }  # fmt: skip


def _effective(factors: Mapping[str, Factor], peaks: Sequence[Peak]) -> list[dict]:
    """Of each device that has a peak in float32, the precisions that it has another in."""
    base = {peak.device_kind: peak for peak in peaks if peak.precision == _BASE}
    rows = []
    for peak in peaks:
        if peak.precision == _BASE or peak.precision not in factors or peak.device_kind not in base:
            continue
        ratio = peak.tflops / base[peak.device_kind].tflops
        rows.append({
            'device': peak.device_kind, 'precision': peak.precision, 'ratio': ratio, 'tflops': peak.tflops,
            **factor_cells('effective', factors[peak.precision].times(ratio)), 'href': address(peak.source),
        })  # fmt: skip
    return rows
