"""What a system's runs will take, to make the cheapest first."""

import contextlib
import hashlib
import io
import json
import math
import multiprocessing
import pathlib
import signal
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from efficiency import backend, records
from efficiency.files import write_atomically
from efficiency.studies.definition import System
from efficiency.studies.state import State
from efficiency.training.cache import cache_dir

_UNCOUNTED = ('learning_rate', 'weight_decay')


def expected_macs(
    systems: Sequence[System], states: Sequence[State], data_dir: str | None
) -> Iterator[tuple[str, float]]:
    """Train macs of a run of each system, with its name, as they are known.

    The median of what other seeds of it took, where there are some; else the macs of the train step x all steps,
    counted once and remembered, which a run that stops at its target stays below. Infinite where its data are not here.
    """
    took = defaultdict(list)
    for state in states:
        if state.status == 'done':
            took[state.run.system.name].append(records.spent(state.record)[0])
    left = []
    for system in systems:
        # What tuning turns most changes no count.
        counted = {key: value for key, value in system.settled.items() if key not in _UNCOUNTED}
        remembered = cache_dir() / 'expected' / _digest(counted)
        if system.name in took:
            yield system.name, statistics.median(took[system.name])
        elif (macs := _remembered(remembered)) is not None:
            yield system.name, macs
        else:
            left.append((remembered, system))
    if not left:
        return
    first = dict(reversed(left))
    # Its own process, whose memory is free again when runs begin, and which leaves a Ctrl-C to this one.
    alone = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, alone, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        counts = {
            remembered: pool.submit(_count, (system.config, system.settled), data_dir)
            for remembered, system in first.items()
        }
        for remembered, system in left:
            macs = counts[remembered].result()
            if macs < math.inf:
                with contextlib.suppress(OSError):  # where there is no cache, they are counted each time
                    remembered.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(remembered, str(macs).encode(), wait=False)
            yield system.name, macs


def _remembered(path: pathlib.Path) -> float | None:
    try:
        return float(path.read_text(encoding='ascii'))
    except (OSError, ValueError):
        return None


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _count(system: tuple[str, Mapping[str, Any]], data_dir: str | None) -> float:
    backend.count_on_cpu()
    from ml_collections import ConfigDict

    from efficiency.config_file import read_config
    from efficiency.costs import counted_stages
    from efficiency.training.recipe import opened

    try:
        path, settled = system
        read_config(path)  # for what its file registers
        with contextlib.redirect_stderr(io.StringIO()):  # what is to be said of its data its run says
            recipe = opened(ConfigDict({**settled, 'seed': 0}), data_dir)
        steps = [recipe.plan.stages[stage].steps for stage, _ in recipe.forms]
        counted = zip(counted_stages(recipe.task), steps, strict=True)
        return round(sum(each.train.dense_macs * each.share * of_stage for each, of_stage in counted))
    except Exception:  # whatever is wrong with it, its run will say, and others are made all the same
        return math.inf
