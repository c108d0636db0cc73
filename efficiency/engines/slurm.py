"""Runs as one array of SLURM jobs, submitted by sbatch and watched until all have ended.

A job knows its run by its place in the array. Preemption, a lost node and `scontrol requeue` are SLURM's to requeue; a
run that was killed otherwise requeues its own job, a bounded number of times. RUNS has to be on a disk that all nodes
share. Whoever stops watching leaves the jobs in the queue.
"""

import json
import pathlib
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

from efficiency.engines.tasks import Event, Task
from efficiency.errors import RunError, UserError
from efficiency.files import write_atomically

WHEN_STOPPED = 'its jobs stay in the queue (scancel ends them), and the same command watches them again'
_SECONDS_BETWEEN_LOOKS = 2
_MOST_RESTARTS = 3

# Ended by itself (0), failed (1) or refused (2), it would end the same way again. What was killed is requeued while
# SLURM has its job for running, and so not where somebody has cancelled it. Processes of one run end one another: ended
# by srun, as soon as one has failed, they would hide its exit code behind that of their own SIGTERM.
_SCRIPT = """#!/bin/bash
case $SLURM_ARRAY_TASK_ID in
{cases}
esac
mkdir -p "$(dirname "$log")"
printf '+ %s\\n' "${{command[*]}}" >> "$log"
srun --kill-on-bad-exit=0 --wait=120 "${{command[@]}}" >> "$log" 2>&1
code=$?
echo "exit code $code" >> "$log"
job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
if [ $code -gt 2 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ] && \\
  [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ]; then
  scontrol requeue "$job"
  sleep 60  # requeueing ends this script
fi
exit $code
"""


def check(options: str) -> None:
    """Whether SLURM's commands are here.

    Raises:
        UserError: if they are not, or the options cannot be told apart.
    """
    if missing := [name for name in ('sbatch', 'squeue') if not shutil.which(name)]:
        raise UserError(f'--engine=slurm needs SLURM, whose {missing[0]} is not installed here; run it on a login node')
    _words(options)


def _words(options: str) -> list[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise UserError(f'--engine_options={options} cannot be split into words: {error}') from error


def under_way(folder: pathlib.Path) -> dict[str, str]:
    """What is in SLURM's queue of all arrays of a study, see `efficiency.engines`.

    Raises:
        RunError: if squeue does not answer.
    """
    names = {path.stem: json.loads(path.read_text()) for path in (folder / 'slurm').glob('*.json')}
    asked = ['squeue', '--noheader', '--array', '--me', '--format=%F %K %T']
    done = subprocess.run(asked, capture_output=True, text=True, errors='surrogateescape', check=False)
    if done.returncode:
        raise RunError(f'squeue does not answer: {" ".join(done.stderr.split())}')
    states = {}
    for line in done.stdout.splitlines():
        job, index, state = line.split()
        if job in names:
            states[names[job][int(index)]] = 'queued' if state == 'PENDING' else 'running'
    return states


def run(tasks: Sequence[Task], jobs: int | None, options: str, folder: pathlib.Path) -> Iterator[Event | None]:
    """Submits what is not in the queue yet, and watches all; see `efficiency.engines`.

    Raises:
        UserError: if sbatch refuses.
        RunError: if squeue cannot be asked.
    """
    queued = under_way(folder)
    if new := [task for task in tasks if task.name not in queued]:
        _submit(new, jobs, options, folder)
    left, begun = {task.name: task for task in tasks}, set()
    while left:
        queued = under_way(folder)
        for name, task in list(left.items()):
            if queued.get(name) == 'running' and name not in begun:
                begun.add(name)
                yield Event(task, ended=False)
            if name not in queued:
                del left[name]
                yield Event(task, ended=True)
        yield None
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _submit(tasks: Sequence[Task], jobs: int | None, options: str, folder: pathlib.Path) -> None:
    ours = folder / 'slurm'
    ours.mkdir(parents=True, exist_ok=True)
    cases = '\n'.join(
        f'{i}) command=({shlex.join(task.command)}); log={shlex.quote(str(task.log))} ;;'
        for i, task in enumerate(tasks)
    )
    done = subprocess.run(
        [
            'sbatch', '--parsable', f'--job-name=study-{folder.name}',
            f'--array=0-{len(tasks) - 1}{f"%{jobs}" if jobs else ""}', '--ntasks=1', '--requeue',
            '--open-mode=append', f'--output={ours / "%A_%a.out"}', *_words(options),
        ],
        input=_SCRIPT.format(cases=cases, restarts=_MOST_RESTARTS), capture_output=True, text=True,
        errors='surrogateescape', check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f'sbatch refused the study: {" ".join(done.stderr.split())}')
    job = done.stdout.split(';')[0].strip()
    write_atomically(ours / f'{job}.json', json.dumps([task.name for task in tasks], indent=1).encode())
