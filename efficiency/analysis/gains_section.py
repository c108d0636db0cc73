"""What a report says of the parts of a study's systems, where their names say which parts they have."""

import math
from collections.abc import Sequence

from efficiency.analysis.cells import factor_cells, factor_column, parts
from efficiency.analysis.document import Column, Section, Table, cell_text
from efficiency.analysis.factors import Factor
from efficiency.analysis.gains import Gains, by_parts, gains
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of
from efficiency.errors import UserError

# Of factors that are told in three digits.
_SAME = 5e-3
_KINDS = ('alone', 'beside', 'shapley')
_TEXT = (
    "A part's gain is the compute that the system without it takes to the target over what it takes with it: put in "
    'alone, and left out of the whole, medians over seeds with 95 % intervals; crossings are interpolated between '
    "evaluations. Shapley's value is the mean of logarithms over all orders in which the parts could have come, where "
    'there are runs of every combination: its product is the gain of the whole. How far the other products are from '
    'the whole is how much the parts are worth because of one another. The sum is one and what each gain is beyond it.'
)


def gains_sections(name: str, target: Target, runs: Sequence[MeasuredRun]) -> list[Section]:
    """A section for each base of each study whose systems have parts: `plain`, `plain+rope`, and so on.

    Args:
        name: of the target, for files.
        target: what the systems were to reach.
        runs: of any studies and data.
    """
    asked = [run for run in runs if run.can_be_asked(target) and run.study and run.system]
    sections = []
    for study in sorted({run.study for run in asked}):
        systems: dict[str, list[MeasuredRun]] = {}
        for run in asked:
            if run.study == study:
                systems.setdefault(run.system, []).append(run)
        try:
            lattices = by_parts(sorted(systems))
        except UserError as error:
            # Of the names alone: what else there is to report stands.
            sections.append(
                Section(f'gains-{study}-{name}', f'Gains: {study}, {target}', [f'None are given: {error}.'])
            )
            continue
        for base, lattice in lattices.items():
            seeds = {
                some: seeds_of(System(each, '', systems[each]).crossings(target, 'interpolated'))
                for some, each in lattice.items()
            }
            sections.append(_section(f'{study}-{base}-{name}', f'{study}, {target}', gains(base, seeds), len(lattice)))
    return sections


def _section(name: str, title: str, found: Gains, systems: int) -> Section:
    columns = (
        Column('part', 'part'), factor_column('alone', f'put in, to {found.base}'),
        factor_column('beside', 'left out of the whole'), factor_column('shapley', "Shapley's value"),
    )  # fmt: skip
    rows = [_row(part.name, {kind: getattr(part, kind) for kind in _KINDS}) for part in found.parts]
    for what, of in (('all, as the product of these', found.product), ('all, as their sum', found.sum)):
        rows.append(_row(what, {kind: _counted(of(kind)) for kind in _KINDS}))
    rows.append(_row('all together', dict.fromkeys(_KINDS, found.whole)))
    table = Table(f'gains-{name}', f'Gains of the parts of {found.base}', columns, rows, in_file=parts(factors=_KINDS))
    return Section(f'gains-{name}', f'Gains: {title}', [_TEXT, _told(found, systems)], tables=[table])


def _row(what: str, factors: dict[str, Factor | None]) -> dict:
    row: dict = {'part': what}
    for kind, factor in factors.items():
        row |= factor_cells(kind, factor or Factor(None))
    return row


def _counted(value: float | None) -> Factor | None:
    """A factor that is made of others, which have the intervals."""
    return None if value is None else _Bare(value)


class _Bare(Factor):
    """A factor of which no interval is told."""

    def __str__(self):
        return cell_text(float(self.value))


def _told(found: Gains, systems: int) -> str:
    names = [part.name for part in found.parts]
    can = 'one part' if len(names) == 1 else f'{len(names)} parts'
    text = f'{systems} systems of {2 ** len(names)} that {can} can make: {", ".join(names)}.'
    product, whole = found.product('alone'), found.whole
    if len(names) == 1 or not product or whole is None or whole.value is None or whole.bound:
        return text
    if not whole.value:
        return f'{text} Together they do not get there in the median, where {found.base} does.'
    ratio = whole.value / product
    how = 'as much as' if math.isclose(ratio, 1, rel_tol=_SAME) else 'more than' if ratio > 1 else 'less than'
    return (
        f'{text} Together they are worth {cell_text(whole.value)}, {how} the {cell_text(product)} of each alone: '
        f'{cell_text(ratio)} of it.'
    )
