"""Steps a second of a run, beside a loop of its compiled step and nothing else, in one process.

    python -m benchmarks.loop --write

trains each config on mnist5k and stops after every so many steps to take as many of the bare step, on one batch that
the device has, from a copy of the state: what the ratio leaves of 1 is the batches, their way to the device, dispatch
and what is shown. Evaluations, and the checkpoints and records after them, are `benchmarks.evaluations`' matter.
"""

import argparse
import importlib
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import machine
from efficiency.training.loop import train
from efficiency.training.trainer import Trainer

CONFIGS = ('lenet5', 'squeezenet', 'shufflenet')


class _Alternating:
    """Takes a run's steps in its place, and times them by the round, each beside one of bare steps."""

    def __init__(self, steps: int):
        self.ours: list[float] = []
        self.bare: list[float] = []
        self._steps, self._take = steps, Trainer._take_step
        self._since: float | None = None  # until the first round begins

    def __call__(self, trainer: Trainer, state: Any, batch: Any) -> Any:
        if trainer.run.steps and trainer.run.steps % self._steps == 0:
            trainer._settle()
            if self._since is not None:
                self.ours.append(time.perf_counter() - self._since)
                self.bare.append(self._take_bare(trainer, state, batch))
            self._since = time.perf_counter()
        return self._take(trainer, state, batch)

    def _take_bare(self, trainer: Trainer, state: Any, batch: Any) -> float:
        ((part,),) = trainer.steps.values()
        state = jax.block_until_ready(jax.tree.map(jnp.copy, state))
        before = time.perf_counter()
        for _ in range(self._steps):
            state, loss = part.compiled(state, batch)
        loss.block_until_ready()
        return time.perf_counter() - before


def measure(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """A config's medians over the rounds."""
    config = importlib.import_module(f'configs.{name}').get_config()
    config.stop_at_target = False
    # One round to warm up, and one step to end the last by.
    config.num_epochs = ((rounds + 1) * steps + 1) * config.batch_size / 4000
    config.warmup_epochs = 0
    config.eval_every = config.num_epochs
    alternating, take = _Alternating(steps), Trainer._take_step

    def take_step(trainer, state, batch):
        return alternating(trainer, state, batch)

    Trainer._take_step = take_step
    try:
        with tempfile.TemporaryDirectory() as workdir:
            train(config, pathlib.Path(workdir, 'run'))
    finally:
        Trainer._take_step = take
    ours, bare = (statistics.median(seconds) / steps for seconds in (alternating.ours, alternating.bare))
    ratio = statistics.median(b / o for o, b in zip(alternating.ours, alternating.bare, strict=True))
    return {
        'config': name, 'steps_a_second': f'{1 / ours:.1f}', 'bare_steps_a_second': f'{1 / bare:.1f}',
        'ratio': f'{ratio:.3f}', 'rounds': len(alternating.ours), 'steps_a_round': steps,
    }  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', default=','.join(CONFIGS), help='of images, with commas between')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--steps', type=int, default=100, help='a round')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    rows = []
    for name in arguments.configs.split(','):
        rows.append(measure(name, arguments.rounds, arguments.steps))
        print(', '.join(f'{key} {value}' for key, value in rows[-1].items()), flush=True)
    if arguments.write:
        stamp = {'hardware': machine.hardware(), 'versions': machine.versions('jax', 'jaxlib')}
        print(machine.write_results('loop', [row | stamp for row in rows]))


if __name__ == '__main__':
    main()
