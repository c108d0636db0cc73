"""What many evaluations in one run cost: memory, and the time of its record, its metrics and its checkpoints.

    python -m benchmarks.evaluations

trains ShuffleNet v1 on mnist5k and evaluates it on 100 images after every step, 2,000 times.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

from benchmarks import machine
from configs import shufflenet
from efficiency import records
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.evaluation_log import EvaluationLog
from efficiency.training.loop import train


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--evaluations', type=int, default=2000)
    count = parser.parse_args().evaluations
    config = shufflenet.get_config()
    config.eval_split = 'test[:100]'
    config.target.value = 1.0
    config.stop_at_target = False
    config.num_epochs = count * config.batch_size / 4000
    config.eval_every = config.batch_size / 4000
    timers = {
        'record': Timer(records.Writer, 'write'),
        'metrics': Timer(EvaluationLog, 'write'),
        'checkpoint': Timer(Checkpoints, 'save'),
    }
    memory = []
    original = EvaluationLog.write
    EvaluationLog.write = lambda self, point: (memory.append(resident_megabytes()), original(self, point))[1]
    with tempfile.TemporaryDirectory() as workdir:
        before = time.perf_counter()
        record = train(config, pathlib.Path(workdir, 'run'))
        seconds = time.perf_counter() - before
    assert len(record['curve']) == count
    rows = [
        {
            'what': name, 'calls': len(timer.calls), 'seconds': f'{sum(timer.calls):.2f}',
            'share_of_run': f'{sum(timer.calls) / seconds:.4f}',
            'median_ms_of_first_100': f'{1e3 * statistics.median(timer.calls[:100]):.2f}',
            'median_ms_of_last_100': f'{1e3 * statistics.median(timer.calls[-100:]):.2f}',
        }
        for name, timer in timers.items()
    ]  # fmt: skip
    tenth = count // 10
    rows.append(
        dict.fromkeys(rows[0], '') | {'what': 'run', 'calls': count, 'seconds': f'{seconds:.2f}', 'share_of_run': '1'}
    )
    for row in rows:
        row |= {
            'resident_mb_second_tenth': f'{statistics.median(memory[tenth : 2 * tenth]):.0f}',
            'resident_mb_last_tenth': f'{statistics.median(memory[-tenth:]):.0f}',
        }
        print(row)
    print(machine.write_results('evaluations', rows))


if __name__ == '__main__':
    main()
