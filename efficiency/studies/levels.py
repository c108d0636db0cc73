"""Levels that follow from a study's own runs, by a rule that was stated before they were made."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from efficiency.errors import UserError, named, shown
from efficiency.metrics import of_record
from efficiency.values import number

if TYPE_CHECKING:
    from efficiency.analysis.runs import Target
    from efficiency.studies.state import State

_KEYS = ('less', 'of', 'step')
_LESS, _STEP = number(0, 1e9), number(1e-6, 1e9)


@dataclasses.dataclass(frozen=True)
class Level:
    """What a system's runs end at on the average, and a little less, so that most runs like them get there.

    Attributes:
        of: the name of the system.
        less: by how much less than the mean of the final metric over seeds; more, of a metric that falls.
        step: of what the level is a multiple, the next one that is no harder.
    """

    of: str
    less: float
    step: float


def level_of(data: Any, systems: Mapping[str, Any]) -> Level:
    """A level as a study's file states it.

    Raises:
        UserError: for a mistake in it.
    """
    if not isinstance(data, dict) or data.keys() != set(_KEYS):
        raise UserError(
            f'a level is {shown(data)}; it must be a dict of {", ".join(_KEYS)}, as '
            "{'of': 'alexnet', 'less': 0.5, 'step': 0.5}"
        )
    named(systems, 'system', data['of'])
    for key, rule in (('less', _LESS), ('step', _STEP)):
        if not rule.allows(data[key]):
            raise UserError(f'a level is {shown(data)}; {key} must be {rule.words}')
    return Level(data['of'], data['less'], data['step'])


def found_levels(levels: Sequence[Level], states: Sequence['State']) -> list[tuple['Target', str]]:
    """The levels whose runs are all there, each once, with how it came about; none of what the metric cannot be.

    Args:
        levels: of the study.
        states: of all its runs.
    """
    from efficiency.analysis.runs import Target

    found = {}
    for level in levels:
        own = [state for state in states if state.run.system.name == level.of]
        if not own or any(state.status != 'done' for state in own):
            continue
        first = own[0].record
        metric, data = of_record(first)[first['target']['metric']], first['dataset']
        finals = [state.record['final'][metric.name] for state in own]
        mean = statistics.fmean(finals)
        # What is no multiple but for a rounding of the last bit is one.
        steps = math.floor(metric.gain(mean) / level.step - level.less / level.step + 1e-9)
        value = metric.gain(round(steps * level.step, 9))
        text = f'the mean of what {level.of} ends at, {mean:.4g}'
        if len(finals) > 1:
            text += f' (standard error {statistics.stdev(finals) / math.sqrt(len(finals)):.2g}, {len(finals)} seeds)'
        text += f', less {level.less:g} and to a multiple of {level.step:g}'
        if metric.is_level(value):
            found.setdefault(Target(data['name'], data['fingerprint'], metric, value), text)
    return list(found.items())
