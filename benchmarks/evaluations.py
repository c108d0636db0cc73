"""What an evaluation costs a run that has had few, and one that has had a hundred thousand.

    python -m benchmarks.evaluations --write

trains LeNet-5 on mnist5k and evaluates it on 100 images after every step, in runs that take turns and begin with a
curve of 10 points and of 100,000. Milliseconds are a step's share: of all, of the record, of the metrics, of the
checkpoints, as far as the run waits for these. Memory is what a run has at its end.
"""

import argparse
import itertools
import pathlib
import statistics
import tempfile
import time

from benchmarks import machine
from configs import lenet5
from efficiency import records
from efficiency.tasks.evaluation import Evaluated
from efficiency.training import loop
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.evaluation_log import EvaluationLog
from efficiency.training.run import Run

POINTS = (10, 100_000)


class Timer:
    """Times a method of a class while the run goes on."""

    def __init__(self, owner: type, method: str):
        self.calls: list[float] = []
        original = getattr(owner, method)

        def timed(*args, **kwargs):
            before = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.calls.append(time.perf_counter() - before)

        setattr(owner, method, timed)


def resident_megabytes() -> float:
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * 4096 / 1e6


def measure(points: int, steps: int, timers: dict[str, Timer]) -> dict[str, float]:
    """Milliseconds a step of a run that has had so many evaluations, and its memory."""

    class Later(Run):
        def __post_init__(self):
            super().__post_init__()
            for _ in range(points):
                self.add_step((0, 0))
                self.add_evaluation(Evaluated({'loss': 2.3, 'top1': 0.1, 'top5': 0.5}, 100, 100))

    config = lenet5.get_config()
    config.eval_split = 'test[:100]'
    config.target.value = 1.0
    config.stop_at_target = False
    config.num_epochs = (points + steps) * config.batch_size / 4000
    config.eval_every = config.batch_size / 4000
    config.warmup_epochs = 0
    for timer in timers.values():
        timer.calls.clear()
    ends: list[float] = []
    write = EvaluationLog.write
    EvaluationLog.write = lambda self, point: (write(self, point), ends.append(time.perf_counter()))[0]
    loop.Run = Later
    try:
        with tempfile.TemporaryDirectory() as workdir:
            record = loop.train(config, pathlib.Path(workdir, 'run'))
    finally:
        EvaluationLog.write, loop.Run = write, Run
    assert len(record['curve']) == points + steps
    # The median, as one that a disk was slow at says nothing of the others; of what is not done each time the mean.
    found = {'all': statistics.median(after - before for before, after in itertools.pairwise(ends))}
    found |= {name: sum(timer.calls[1:-1]) / steps for name, timer in timers.items()}
    return {f'{name}_ms': 1e3 * seconds for name, seconds in found.items()} | {'resident_mb': resident_megabytes()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=500, help='a round, each with an evaluation')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    timers = {
        'record': Timer(records.Writer, 'write'),
        'metrics': Timer(EvaluationLog, 'write'),
        'checkpoint': Timer(Checkpoints, 'save'),
    }
    found: dict[int, list[dict[str, float]]] = {points: [] for points in POINTS}
    for _ in range(arguments.rounds):
        for points, each in found.items():
            each.append(measure(points, arguments.steps, timers))
    rows = [
        {'points_before': points}
        | {name: f'{statistics.median(one[name] for one in each):.3g}' for name in each[0]}
        | {'rounds': arguments.rounds, 'steps': arguments.steps}
        for points, each in found.items()
    ]
    for row in rows:
        print(', '.join(f'{name} {value}' for name, value in row.items()))
    if arguments.write:
        stamp = {'hardware': machine.hardware(), 'versions': machine.versions('jax', 'jaxlib')}
        print(machine.write_results('evaluations', [row | stamp for row in rows]))


if __name__ == '__main__':
    main()
