"""All that a report says, in the order in which a reader wants it."""

import dataclasses
import datetime
import functools
import os
import pathlib
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from efficiency.analysis.answers import answers_section
from efficiency.analysis.batch_section import batch_sections
from efficiency.analysis.bill import bill_section
from efficiency.analysis.charts import Chart
from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.drawing import Drawing
from efficiency.analysis.gains_section import gains_sections
from efficiency.analysis.measured import measured_section, slug
from efficiency.analysis.noise_section import noise_sections
from efficiency.analysis.precision_section import precision_sections
from efficiency.analysis.published_sections import published_sections
from efficiency.analysis.questions import Questions
from efficiency.analysis.reached import profile_section
from efficiency.analysis.runs import LeftOut, MeasuredRun, Target, read_runs, shared_targets
from efficiency.analysis.scale_section import scale_sections
from efficiency.metrics import exact
from efficiency.published import points as published
from efficiency.published.prices import peaks, prices

_TARGETS = 4


def contents(
    runs_folder: str | None,
    out: pathlib.Path,
    base_url: str | None,
    price_list: str | os.PathLike,
    questions: Questions,
    progress: Callable[[str], None],
    pool: Executor | None = None,
    drawing: Drawing | None = None,
) -> list[Section]:
    """The sections of a report.

    Args:
        runs_folder: of run records, None for the published ledger alone.
        out: where the page will be; records are linked to from there.
        base_url: the address at which the present folder can be read, which records are linked to below instead.
        price_list: what devices cost, a file as `efficiency.published.prices` reads it.
        questions: what else was asked.
        progress: told what was done last.
        pool: of processes that help, see `efficiency.analysis.helpers`.
        drawing: told of charts as soon as they are known.

    Raises:
        UserError: if there are no records to report on, or a question cannot be answered.
    """

    @functools.cache
    def link(path: str) -> str:
        if base_url is None:
            return urllib.parse.quote(os.path.relpath(path, out))
        return f'{base_url.rstrip("/")}/{urllib.parse.quote(os.path.relpath(path))}'

    points, networks = published.points(), published.networks()
    begin = (drawing or Drawing()).begin
    sections = published_sections(points, published.targets(), networks, published.claims())
    runs, measured = [], []
    if runs_folder is not None:
        all_runs, left_out = read_runs(runs_folder, progress, pool)
        begin(_charts(sections))  # not before, as reading is what all can share
        runs = [run for run in all_runs if not run.is_tuning]
        dates, costs, peak_list = network_dates(networks), prices(price_list), peaks()
        targets, others = _targets(runs, questions)
        told = Counter(map(str, targets))
        for target in targets:
            progress(f'runs for {target}')
            of_target = [
                measured_section(target, runs, dates, link, costs),
                *gains_sections(slug(target), target, runs),
                *scale_sections(slug(target), target, runs),
                *batch_sections(slug(target), target, runs),
                *noise_sections(slug(target), target, runs),
                *precision_sections(slug(target), target, runs, peak_list),
            ]
            begin(_charts(of_target))
            measured += of_target if told[str(target)] == 1 else [_of_data(each, target) for each in of_target]
        if over_all := profile_section(targets, runs):
            measured.append(over_all)
        measured.append(bill_section(all_runs, link))
        measured.append(_records_section(all_runs, left_out, others, link))
    found = measured + questions.sections(runs) + sections
    begin(_charts(found))
    return [answers_section(found), *found]


def _charts(sections: Sequence[Section]) -> list[Chart]:
    return [chart for section in sections for chart in section.charts]


def network_dates(networks: Mapping[Any, published.Network]) -> dict[tuple[str, str], datetime.date]:
    """When networks of the ledger were published, by task and name."""
    return {('images', network.model): network.published for network in networks.values()}


def _of_data(section: Section, target: Target) -> Section:
    """A section that says which of several data of one name it is of."""
    which = f'data {target.fingerprint[:6]}'
    answers = [f'On the {which} of this name: {answer}' for answer in section.answers]
    return dataclasses.replace(section, title=f'{section.title}, {which}', answers=answers)


def _targets(runs: Sequence[MeasuredRun], questions: Questions) -> tuple[list[Target], list[Target]]:
    """The targets to report on, and those of the runs that are left."""
    if asked := questions.targets(runs):
        return asked, []
    targets = shared_targets(runs)
    others = sorted({target for run in runs for target in run.targets} - set(targets[:_TARGETS]), key=lambda t: t.order)
    return targets[:_TARGETS], others


def _records_section(
    runs: Sequence[MeasuredRun],
    left_out: Sequence[LeftOut],
    others: Sequence[Target],
    link: Callable[[str], str],
) -> Section:
    """Which records there were, and which of them the figures leave out and why."""
    text = [f'{len(runs)} finished runs were read, and {len(left_out)} files left out.']
    if others:
        counts = Counter(target for run in runs for target in run.targets)
        listed = ', '.join(f'{target} ({counts[target]} runs)' for target in others[:_TARGETS])
        more = f' and {len(others) - _TARGETS} more' if len(others) > _TARGETS else ''
        text.append(
            f'Targets of these runs without a section of their own: {listed}{more}; --target={others[0].metric.name}:'
            f'{exact(others[0].value)} reports on one. Their runs count under other targets, too.'
        )
    rows = [{'path': entry.path, 'reason': entry.reason, 'href': link(entry.path)} for entry in left_out]
    columns = (Column('path', 'file', link='href'), Column('reason', 'why it is left out'))
    tables = [Table('left-out', 'Left out', columns, rows)] if rows else []
    return Section('records', 'Records', text, tables=tables)
