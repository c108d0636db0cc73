"""Parameters in groups, each with an optimizer, a learning rate and a weight decay of its own.

    config.optimizer = {
        'name': 'adamw',
        'groups': (
            {'params': r'Dense_\\d+/kernel', 'name': 'muon', 'learning_rate': 0.02},
            {'rank': 1, 'weight_decay': 0.0},
        ),
    }

A parameter is in the first group that it fits, or else has the section's own optimizer. A group that names an optimizer
has that one, with its defaults but for what the group says; one that names none has the section's, with the section's
keys but for what the group says.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from efficiency.errors import UserError, shown
from efficiency.training.optimizer import clipped, optimizer_with
from efficiency.training.schedules import Schedule
from efficiency.training.settings import check_value

# What the parameters are called that no group has.
REST = 'rest'
_EXAMPLE = {'params': 'bias|scale', 'weight_decay': 0.0}
_OF_GROUPS = ('params', 'rank', 'name', 'learning_rate', 'weight_decay')


@dataclasses.dataclass(frozen=True)
class _Group:
    """One group of a config's optimizer.

    Attributes:
        label: by which optimizer states and checkpoints know it.
        where: it stands.
        pattern: found in the paths of its parameters, as Conv_0/kernel; None for any.
        rank: of its parameters; None for any.
        name: of its optimizer.
        keys: that optimizer's own.
        learning_rate, weight_decay: its own; None for the config's.
    """

    label: str
    where: str
    pattern: re.Pattern | None
    rank: int | None
    name: str
    keys: dict[str, Any]
    learning_rate: float | None
    weight_decay: float | None

    def fits(self, path: str, rank: int) -> bool:
        return (self.pattern is None or self.pattern.search(path) is not None) and self.rank in (None, rank)


def grouped_optimizer(
    section: Mapping[str, Any],
    schedule_of: Callable[[float], Schedule],
    learning_rate: float,
    weight_decay: float,
    clip_norm: float = 0,
) -> optax.GradientTransformation:
    """The optimizer of a config, with a part for each group of parameters where it has groups.

    Its `init` raises UserError for a group that none of the parameters is in.

    Args:
        section: `config.optimizer`, as a dict.
        schedule_of: the schedule with a peak.
        learning_rate: the peak of what has none of its own.
        weight_decay: of what has none of its own.
        clip_norm: see `clipped`: of the gradient of all groups together.

    Raises:
        UserError: for an optimizer, a key, a value or a pattern that cannot be.
    """
    groups = _groups(section)
    own = optimizer_with(_own_keys(section), section['name'], schedule_of(learning_rate), weight_decay)
    if not groups:
        return clipped(own, clip_norm)
    parts = {REST: own}
    for group in groups:
        peak = learning_rate if group.learning_rate is None else group.learning_rate
        decay = weight_decay if group.weight_decay is None else group.weight_decay
        part = optimizer_with(group.keys, group.name, schedule_of(peak), decay, group.where)
        # What stays as it is asks for no gradient, so that what would make that alone is neither run nor counted.
        parts[group.label] = part if peak else optax.set_to_zero()
    return clipped(optax.partition(parts, lambda params: _labels(groups, params)), clip_norm)


def parameters_by_group(section: Mapping[str, Any], params: Any) -> dict[str, list[str]]:
    """Which parameters each group has: their paths by 'group0', 'group1', ... and 'rest'.

    Args:
        section: `config.optimizer`, as a dict.
        params: a network's parameters, or their shapes.

    Raises:
        UserError: for a group that has none, or that cannot be.
    """
    groups = _groups(section)
    found: dict[str, list[str]] = {label: [] for label in [*(group.label for group in groups), REST]}
    paths = jax.tree.leaves_with_path(params)
    for (path, _), label in zip(paths, jax.tree.leaves(_labels(groups, params)), strict=True):
        found[label].append(_path(path))
    return found


def _labels(groups: list[_Group], params: Any) -> Any:
    """The label of each parameter's group, in the structure of the parameters."""
    labels = jax.tree.map_with_path(lambda path, leaf: _label(groups, _path(path), leaf.ndim), params)
    used = set(jax.tree.leaves(labels))
    for group in groups:
        if group.label not in used:
            _explain(group, {_path(path): leaf.ndim for path, leaf in jax.tree.leaves_with_path(params)})
    return labels


def _label(groups: list[_Group], path: str, rank: int) -> str:
    return next((group.label for group in groups if group.fits(path, rank)), REST)


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator='/')


def _explain(group: _Group, ranks: Mapping[str, int]) -> None:
    """Raises the UserError of a group that has no parameter, of a network whose parameters have these ranks."""
    if any(group.fits(path, rank) for path, rank in ranks.items()):
        raise UserError(f'no parameter is in {group.where}: those that it fits are in groups before it')
    asked = [] if group.pattern is None else [f'a path with {shown(group.pattern.pattern)}']
    asked += [] if group.rank is None else [f'rank {group.rank}']
    some = ', '.join(f'{path} (rank {rank})' for path, rank in list(ranks.items())[:4])
    raise UserError(f'no parameter is in {group.where}: none has {" and ".join(asked)}; there are {some}, ...')


def _own_keys(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in ('name', 'groups')}


def _groups(section: Mapping[str, Any]) -> list[_Group]:
    groups = section.get('groups', ())
    check_value('optimizer.groups', groups)
    return [_group(section, i, group) for i, group in enumerate(groups)]


def _group(section: Mapping[str, Any], number: int, group: Any) -> _Group:
    where = f'config.optimizer.groups[{number}]'
    if not isinstance(group, Mapping):
        raise UserError(f'{where} is {shown(group)}; it must be a section, as {_EXAMPLE}')
    pattern, rank = group.get('params'), group.get('rank')
    if pattern is None and rank is None:
        raise UserError(
            f'{where} does not say which parameters it is of; give it params, a regular expression for paths such as '
            'Conv_0/kernel, or rank'
        )
    if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool) or rank < 0):
        raise UserError(f'{where}.rank is {shown(rank)}; it must be a whole number of dimensions')
    for key in ('learning_rate', 'weight_decay'):
        if key in group:
            check_value('weight_decay', group[key], f'{where}.{key}')  # a group may be left as it is, at a rate of 0
    if 'name' in group:
        check_value('optimizer.name', group['name'], f'{where}.name')
    keys = {key: value for key, value in group.items() if key not in _OF_GROUPS}
    return _Group(
        label=f'group{number}',
        where=where,
        pattern=None if pattern is None else _compiled(pattern, where),
        rank=rank,
        name=group.get('name', section['name']),
        keys=keys if 'name' in group else _own_keys(section) | keys,
        learning_rate=group.get('learning_rate'),
        weight_decay=group.get('weight_decay'),
    )


def _compiled(pattern: Any, where: str) -> re.Pattern:
    try:
        return re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise UserError(f'{where}.params is {shown(pattern)}, which is no regular expression: {error}') from error
