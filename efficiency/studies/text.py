"""What a study says of itself on a terminal."""

from collections.abc import Callable, Sequence

from efficiency.metrics import exact
from efficiency.studies.answer import bill, comparison
from efficiency.studies.definition import PlannedRun, Study, System
from efficiency.studies.levels import found_levels
from efficiency.studies.state import State
from efficiency.tables import render

_BILL = (
    'multiply-adds, dense: train macs are of the train step x steps, evaluation macs of the forward pass x examples '
    'evaluated; in teraflop/s-days a multiply-add is one operation'
)


def listing(
    study: Study, systems: Sequence[System], states: Sequence[State], is_wanted: Callable[[PlannedRun], bool]
) -> str:
    """Each run that is wanted with what there is of it, also those that wait for a choice; what follows is of these."""
    states = [state for state in states if is_wanted(state.run)]
    rows = [
        {'run': state.run.name, 'role': state.run.system.role, 'state': state.status, 'detail': state.detail}
        for state in states
    ]
    known = {system.name for system in systems}
    for tuned in study.tuned:
        if tuned.name not in known:
            waits = {'role': tuned.role, 'state': 'missing', 'detail': 'waits for tuning'}
            planned = [PlannedRun(tuned, seed) for seed in tuned.seeds]
            rows += [{'run': run.name, **waits} for run in planned if is_wanted(run)]
    return f'{render(rows, "table")}\n\n{what_it_says(study, systems, states)}'


def what_it_says(study: Study, systems: Sequence[System], states: Sequence[State]) -> str:
    """The settings chosen, the systems beside the baseline, and the bill."""
    parts = []
    for tuned in study.tuned:
        chosen = next((system for system in systems if system.name == tuned.name), None)
        if chosen:
            setting = next(each for each in tuned.candidates if each.settled == chosen.settled)
            parts.append(f'{tuned.name}: {setting.name} was chosen among {len(tuned.candidates)} by {tuned.rule}')
    for target, rows in comparison(study, systems, states).items():
        verdicts = [row.pop('against_baseline') for row in rows]
        heading = (
            f'compute to {target}: medians over seeds, the smallest and the largest in brackets; a factor with its '
            '95 % interval'
        )
        parts.append('\n'.join([heading, render(rows, 'table'), *filter(None, verdicts)]))
    if levels := found_levels(study.levels, states):
        asked = ' '.join(f'--target={target.metric.name}:{exact(target.value)}' for target, _ in levels)
        parts.append(f'for a report at these levels: python -m efficiency.report {asked} with --runs and --out')
    parts.append(f'{render(bill(states), "table")}\n{_BILL}')
    return '\n\n'.join(parts)
