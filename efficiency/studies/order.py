"""What a system's runs will take, to make the cheapest first."""

import hashlib
import json
import math
import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from efficiency import records
from efficiency.errors import UserError
from efficiency.studies.definition import System
from efficiency.studies.state import State
from efficiency.training.workdir import cache_dir


def expected_macs(
    systems: Sequence[System], states: Sequence[State], data_dir: str | None, progress: Callable[[str], None]
) -> dict[str, float]:
    """Train macs of a run of each system, by name.

    The median of what other seeds of it took, where there are some; else the macs of the train step x all steps,
    counted once and remembered, which a run that stops at its target stays below. Infinite where its data are not here.
    """
    took: dict[str, list[int]] = {}
    for state in states:
        if state.status == 'done':
            took.setdefault(state.run.system.name, []).append(records.spent(state.record)[0])
    found = {system.name: statistics.median(took[system.name]) for system in systems if system.name in took}
    left = [system for system in systems if system.name not in found]
    remembered = {system.name: cache_dir() / 'expected' / _digest(system.settled) for system in left}
    for system in left:
        if remembered[system.name].exists():
            found[system.name] = float(remembered[system.name].read_text())
    left = [system for system in left if system.name not in found]
    if left:
        # Its own process, whose memory is free again when runs begin.
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
            counts = pool.map(_count, [system.settled for system in left], [data_dir] * len(left))
            for system, macs in zip(left, counts, strict=True):
                progress(f'counted what {system.name} takes')
                found[system.name] = macs
                if macs < math.inf:
                    remembered[system.name].parent.mkdir(parents=True, exist_ok=True)
                    records.write_atomically(remembered[system.name], str(macs).encode(), wait=False)
    return found


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _count(settled: Mapping[str, Any], data_dir: str | None) -> float:
    from ml_collections import ConfigDict

    from efficiency.costs import recipe_program
    from efficiency.training.recipe import opened

    try:
        config, dataset, steps = opened(ConfigDict({**settled, 'seed': 0}), data_dir)
        return recipe_program(config, dataset.num_classes).train.dense_macs * steps
    except UserError:
        return math.inf
