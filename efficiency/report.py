"""What many runs say, beside what others have published: tables, figures and one page.

    python -m efficiency.report --out=report
    python -m efficiency.report --runs=results/mnist5k --out=report

Writes `index.html`, `report.md`, `tables/*.csv` and `figures/*.svg, *.png` into --out. Without --runs, the published
ledger alone. Exit codes: 0 the report was written, or the submission holds; 1 the submission was read and has problems,
which are listed; 2 a mistake in the command, as a file that is not there or cannot be read.
"""

import argparse
import gc
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Sequence

from efficiency import backend, console
from efficiency.arguments import Parser
from efficiency.published.prices import PRICES_FILE
from efficiency.tables import render

TITLE = 'How much compute it takes to reach a known capability'


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parse(argv)
    if options.check_submission is not None:
        return _check(options.check_submission, options.config, options.data_dir, options.runs)
    # What is read stays until the end: to look through all of it for garbage, again and again, finds none, and is a
    # sixth of a report of 10,000 records.
    gc.disable()
    try:
        _report(options)
    finally:
        gc.enable()
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser('efficiency.report', __doc__)
    parser.add_argument('--runs', metavar='DIR', type=os.path.expanduser, help='folder with run records below it')
    parser.add_argument('--out', metavar='DIR', type=_path, help='folder for the report')
    parser.add_argument(
        '--base_url', metavar='URL', type=_base_url,
        help='where the present folder can be read once the page is served, as https://host/project: records are '
        'linked to below it instead of beside the page',
    )  # fmt: skip
    parser.add_argument(
        '--prices', metavar='FILE', type=os.path.expanduser, default=PRICES_FILE,
        help='what an hour of a device costs and draws, as efficiency/published/prices.csv, which is used by default',
    )  # fmt: skip
    parser.add_argument(
        '--target', metavar='METRIC:VALUE', action='append', default=[],
        help='a level to report on and to compare at, as top1:0.954 or return:-150; by default the targets that the '
        'runs share',
    )  # fmt: skip
    parser.add_argument(
        '--budget_macs', metavar='MACS', help='list what reaches which level within so much training compute'
    )
    parser.add_argument(
        '--compare',
        nargs=2,
        type=os.path.expanduser,
        metavar=('A', 'B'),
        help="split B's factor over A into its causes; each is a system's name in the tables of --runs, a run record, "
        'or the name of a point of the ledger; at the level of --target, if given',
    )
    parser.add_argument(
        '--check_submission', metavar='FILE', type=os.path.expanduser,
        help='check a run record, a folder with one of each seed, or ledger rows, write nothing; with --runs the table '
        'that it would land in follows',
    )  # fmt: skip
    parser.add_argument(
        '--config', metavar='FILE[:PRESET]',
        help="of --check_submission: the submission's own config file, which registers a network that is not ours",
    )  # fmt: skip
    parser.add_argument(
        '--data_dir', metavar='DIR', type=os.path.expanduser,
        help='of --check_submission: where the texts are that records of language say they are of, as for '
        'efficiency.main',
    )  # fmt: skip
    options = parser.parse_args(argv)
    for name in ('config', 'data_dir'):
        if getattr(options, name) is not None and options.check_submission is None:
            parser.error(f'--{name} is of --check_submission alone')
    if options.check_submission is None and not options.out:
        parser.error('--out=DIR is missing: where the report is to be written')
    if options.base_url and options.runs and os.path.relpath(options.runs).startswith(os.pardir):
        parser.error('--base_url stands for the present folder, and --runs is not below it')
    return options


def _base_url(text: str) -> str:
    if urllib.parse.urlsplit(text).scheme not in ('http', 'https'):
        raise argparse.ArgumentTypeError(f'{text!r} is no address that begins with http:// or https://')
    return text


def _path(text: str) -> pathlib.Path:
    return pathlib.Path(text).expanduser()


def _check(path: str, config_file: str | None, data_dir: str | None, runs: str | None) -> int:
    backend.count_on_cpu()
    from efficiency.analysis.standing import standing
    from efficiency.analysis.submission import check, files_of
    from efficiency.config_file import read_config
    from efficiency.training.settings import check_config

    config = None if config_file is None else check_config(read_config(config_file))
    with console.doing() as progress:
        problems = check(path, progress, config, data_dir)
    for problem in problems:
        console.say(problem)
    if problems:
        return 1
    print(f'{path}: nothing is wrong with it')
    files = files_of(path)
    if runs is not None and files[0].suffix.lower() == '.json':
        target, rows = standing(files, runs)
        print(f'\nto {target}, among the runs of {runs}:\n\n{render(rows, "table")}')
    return 0


def _report(options: argparse.Namespace) -> None:
    # Nothing heavy before the options are known to be right.
    from efficiency.analysis.contents import contents
    from efficiency.analysis.drawing import Drawing
    from efficiency.analysis.helpers import helpers
    from efficiency.analysis.page import write_report
    from efficiency.analysis.questions import Questions

    questions = Questions.parse(options.target, options.budget_macs, options.compare, options.runs is not None)
    with console.doing() as progress, helpers() as pool:
        drawing = Drawing(pool)
        sections = contents(
            options.runs, options.out, options.base_url, options.prices, questions, progress, pool, drawing
        )
        write_report(TITLE, sections, options.out, progress, drawing)
    print(f'{options.out / "index.html"}: {len(sections)} sections')
    left_out = [
        row for section in sections for table in section.tables if table.name == 'left-out' for row in table.rows
    ]
    if left_out:
        files = f'{len(left_out)} {"files are" if len(left_out) > 1 else "file is"}'
        path, reason = left_out[0]['path'], left_out[0]['reason']
        console.say(f'{files} left out, which the section Records lists; the first, {path}: {reason}')


if __name__ == '__main__':
    console.start()
    sys.exit(main())
