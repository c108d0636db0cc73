"""Finds AlexNet's level on a data set from run records, and keeps it as the baseline to compare with.

    python -m efficiency.baselines --runs=results/mnist5k
    python -m efficiency.baselines --runs=results/mnist5k --level=results/alexnet_level

The level is the largest multiple of 0.001 that the final accuracy reaches in at least 4 of 5 seeds, and of another
metric the best value of three digits; with --level these are other seeds than those that are billed, whose luck it
would be otherwise. The baseline is what it took AlexNet to reach it first: the median over the seeds, one that never
did counting as infinite. Writes the row into `efficiency/published/baselines.csv`.
"""

import csv
import io
import math
import pathlib
import sys
from collections.abc import Sequence

from efficiency import console, records
from efficiency.analysis.baseline_level import level
from efficiency.analysis.survival import summary_over_seeds
from efficiency.arguments import Parser
from efficiency.errors import UserError
from efficiency.files import write_atomically
from efficiency.metrics import of_record
from efficiency.published import BASELINE_COLUMNS, BASELINES_FILE, baselines

BASELINE_MODEL = 'alexnet'


def baseline_row(
    runs: Sequence[records.Record], source: str, choosing: Sequence[records.Record] = ()
) -> dict[str, str]:
    """The baseline of runs that differ only in their seed, each trained to the end.

    Args:
        runs: whose compute it is.
        source: where they are from.
        choosing: the runs that the level is chosen by, of other seeds; `runs` where there are none.

    Raises:
        UserError: if they are not of one recipe on the same images, each seed once, or too few.
    """
    first, together = runs[0], [*runs, *choosing]
    seeds = [run['seed'] for run in together]
    for run in together:
        ours, theirs = ({k: v for k, v in r['config'].items() if k != 'seed'} for r in (first, run))
        if (
            ours != theirs
            or run['dataset'] != first['dataset']
            or of_record(run) != of_record(first)
            or seeds.count(run['seed']) > 1
        ):
            raise UserError(
                f'the runs of {BASELINE_MODEL} in {source} are not of one config on the same images, each seed once'
            )
    metrics, name = of_record(first), first['target']['metric']
    value = level([run['final'][name] for run in choosing or runs], metrics[name])
    crossings = [records.first_crossing(run['curve'], {'metric': name, 'value': value}, metrics) for run in runs]

    def median(key):
        return str(round(summary_over_seeds([c[key] if c else math.inf for c in crossings]).median))

    row = {
        'dataset': first['dataset']['name'],
        'fingerprint': first['dataset']['fingerprint'],
        'metric': name,
        'value': f'{value:g}',
        'model': BASELINE_MODEL,
        'seeds': str(len(runs)),
        'seeds_reached': str(sum(c is not None for c in crossings)),
        **{key: median(key) for key in ('examples', 'paper_macs', 'train_macs')},
        'source': source,
    }
    return {column: row[column] for column in BASELINE_COLUMNS}


def _of(row: dict[str, str]) -> tuple[str, str]:
    """What a data set has one baseline for."""
    return row['dataset'], row['metric']


def complete_runs(folder: pathlib.Path) -> list[records.Record]:
    """The baseline network's records below a folder that were trained to the end of their epochs, by seed.

    Raises:
        UserError: if there are none, or one is not valid.
    """
    try:
        found = [records.read(path) for path in records.files_below(folder)]
    except records.RecordError as error:
        raise UserError(str(error)) from error
    runs = [run for run in found if run['model'] == BASELINE_MODEL and records.is_finished(run)]
    runs = [run for run in runs if not run['config']['stop_at_target'] or run['status'] == 'exhausted']
    if not runs:
        raise UserError(
            f'no record of {BASELINE_MODEL} trained to the end is in {folder}; train seeds 0 to 4 with '
            '--config=configs/alexnet.py --config.stop_at_target=False'
        )
    return sorted(runs, key=lambda run: run['seed'])


def _keep(row: dict[str, str]) -> None:
    """Writes it into the list, in place of that of the same data set and metric."""
    others = [other for other in baselines() if _of(other) != _of(row)]
    text = io.StringIO()
    writer = csv.DictWriter(text, BASELINE_COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(sorted([*others, row], key=_of))
    try:
        write_atomically(BASELINES_FILE, text.getvalue().encode())
    except OSError as error:
        raise UserError(f'cannot write {BASELINES_FILE}: {error.strerror}') from error


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser('efficiency.baselines', __doc__)
    parser.add_argument('--runs', required=True, help='folder of run records')
    parser.add_argument(
        '--level', metavar='FOLDER', help='of run records of other seeds, by which the level is chosen; else by --runs'
    )
    parser.add_argument('--say_only', action='store_true', help='write nothing; the list stays as it is')
    options = parser.parse_args(argv)
    folder = pathlib.Path(options.runs).expanduser()
    runs = complete_runs(folder)
    choosing = complete_runs(pathlib.Path(options.level).expanduser()) if options.level else ()
    row = baseline_row(runs, str(folder), choosing)
    if not options.say_only:
        _keep(row)
    goal = of_record(runs[0])[row['metric']].goal(float(row['value']))
    print(
        f'{row["dataset"]}: AlexNet-level is {goal}; {row["seeds_reached"]} of '
        f'{row["seeds"]} seeds reached it, the median after {int(row["examples"]):,} examples and '
        f'{int(row["train_macs"]):.4g} train macs'
    )
    return 0


if __name__ == '__main__':
    console.start()
    sys.exit(main())
