"""How long the command takes from being given to the end of its first training step, and where that time goes.

    python -m benchmarks.start_up --write

runs `python -m efficiency.main --config=configs/shufflenet.py` up to its first step in a process of its own, with empty
caches and then with warm ones, and `--help`. Parts contain those below them that are indented, and what stands "beside"
runs in a thread next to the compiler of the train step. Seconds, medians over the rounds, and those of all processors.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from benchmarks import machine

COMMAND = ('--config=configs/shufflenet.py',)
STEP, TOTAL = 'train step; tracing is what its parts leave', 'command to first step'
PROCESSORS = 'the same, of all processors'


def instrument(began: float) -> None:
    """Has the command, run in this process, print the time of its parts as JSON after its first step, and end there.

    Args:
        began: when the command was given, of `time.time()`.
    """
    seconds = {'interpreter and flags': time.time() - began}
    before = time.perf_counter()
    import jax

    from efficiency.tasks.evaluation import ScoresEvaluator
    from efficiency.training import loop, programs, recipe

    seconds['imports'] = time.perf_counter() - before

    compiling = None  # in which thread

    def timed(name: str, function: Callable, of_step: bool = False) -> Callable:
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            nonlocal compiling
            if of_step and threading.current_thread() is not compiling:
                return function(*args, **kwargs)
            if name == STEP:
                compiling = threading.current_thread()
            before = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - before
                if name == STEP:
                    compiling = None

        return wrapped

    def first_step(trainer, state, batch, take=loop.Trainer._take_step):
        take(trainer, state, batch)
        trainer.under_way[0][2].block_until_ready()
        seconds[TOTAL] = time.time() - began
        seconds[PROCESSORS] = time.process_time()
        print(json.dumps(seconds), flush=True)
        os._exit(0)

    for owner, attribute, name in (
        (loop, 'opened', 'config and data'),
        (recipe, 'init_state', 'initial values'),
        (loop, 'matmul_peak', 'matrix-multiply peak'),
        (recipe, 'trace_train_step', STEP),
        (recipe, 'trace_forward', 'forward pass, traced'),
        (loop.code, 'step_of', 'hash of both'),
        (programs, 'compile_train_step', STEP),
        (programs, 'count_jaxpr', '  beside: counting'),
        (programs, 'check_against_xla', '  beside: check of every operation'),
        (ScoresEvaluator, 'compile', 'beside: evaluation, traced and compiled'),
    ):
        setattr(owner, attribute, timed(name, getattr(owner, attribute)))
    for owner, attribute, name in (
        (jax.stages.Traced, 'lower', '  lowering'),
        (jax.stages.Lowered, 'compile', '  compiling, or reading it from the cache'),
    ):
        setattr(owner, attribute, timed(name, getattr(owner, attribute), of_step=True))
    loop.Trainer._take_step = first_step


def measure(cache: pathlib.Path) -> dict[str, float]:
    """One start with these caches."""
    with tempfile.TemporaryDirectory() as folder:
        code = (
            f'import sys; from benchmarks.start_up import instrument; instrument({time.time()}); '
            f'sys.argv = ["efficiency.main", *{COMMAND!r}, "--workdir={folder}/run"]; '
            'from efficiency import main; main.run()'
        )
        done = _run([sys.executable, '-c', code], cache)
    return json.loads(done.stdout.splitlines()[-1])


def _run(command, cache):
    environment = os.environ | {'XDG_CACHE_HOME': str(cache)}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def _help_seconds(cache):
    before = time.perf_counter()
    _run([sys.executable, '-m', 'efficiency.main', '--help'], cache)
    return time.perf_counter() - before


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    found = {'cold': [], 'warm': []}
    helps = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for starts in found.values():
                starts.append(measure(pathlib.Path(cache)))
            helps.append(_help_seconds(pathlib.Path(cache)))
    rows = [
        {'part': part} | {f'{kind}_s': statistics.median(s[part] for s in starts) for kind, starts in found.items()}
        for part in found['cold'][0]
    ]
    rows.append({'part': '--help', 'cold_s': '', 'warm_s': statistics.median(helps)})
    rows = [{k: f'{v:.2f}' if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    for row in rows:
        print(f'{row["part"]:<48} {row["cold_s"]:>6} {row["warm_s"]:>6}')
    if arguments.write:
        stamp = {'hardware': machine.hardware(), 'versions': machine.versions('jax', 'jaxlib')}
        stamp['rounds'] = arguments.rounds
        print(machine.write_results('start_up', [row | stamp for row in rows]))


if __name__ == '__main__':
    main()
