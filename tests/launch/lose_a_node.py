"""Two Ray nodes on this machine train a study, and one of them is lost on the way.

    python -m tests.launch.lose_a_node STUDY RUNS RESULTS

To be run in a network namespace that has only lo, as Ray listens to whoever reaches it. The command of the study sees
an empty RUNS of its own, as if it had no disk in common with the nodes. Prints, as JSON, what happened.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

from ray.cluster_utils import Cluster

from tests.conftest import ROOT

# A folder of the same name, in memory, which nobody else sees.
_WITHOUT_SHARED_DISK = 'mount -t tmpfs none "$0" && exec "$@"'
_SMALL = {'num_cpus': 1, 'object_store_memory': 100 * 2**20, 'include_dashboard': False}


def children() -> dict[int, list[int]]:
    """Ids of processes by their parent's."""
    found = {}
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            parent = int(path.read_text().rpartition(')')[2].split()[1])
        except OSError:  # it has ended
            continue
        found.setdefault(parent, []).append(int(path.parent.name))
    return found


def training_below(pid: int) -> list[int]:
    """Ids of the main commands among a process's descendants."""
    tree, found, open_ = children(), [], [pid]
    while open_:
        for child in tree.get(open_.pop(), []):
            open_.append(child)
            command = pathlib.Path('/proc', str(child), 'cmdline')
            if command.exists() and b'efficiency.main' in command.read_bytes():
                found.append(child)
    return found


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, 'it has taken too long'
        time.sleep(0.1)
    return found


def main(study, runs, results):
    os.makedirs(runs)
    cluster = Cluster(initialize_head=True, head_node_args=_SMALL)
    lost = cluster.add_node(**_SMALL)
    (raylet,) = lost.all_processes['raylet']
    command = [
        'unshare', '--mount', 'sh', '-c', _WITHOUT_SHARED_DISK, runs, sys.executable, '-m', 'efficiency.study',
        f'--study={study}', f'--runs={runs}', f'--results={results}', '--engine=ray',
    ]  # fmt: skip
    environment = os.environ | {'RAY_ADDRESS': cluster.address}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    (orphan,) = wait_for(lambda: training_below(raylet.process.pid), 120)
    workdir = pathlib.Path('/proc', str(orphan), 'cmdline').read_text().split('--workdir=')[1].split('\0')[0]
    wait_for(lambda: any(pathlib.Path(workdir).glob('checkpoints/[0-9]*')), 120)
    cluster.remove_node(lost, allow_graceful=False)
    lost_at = time.monotonic()
    wait_for(lambda: not pathlib.Path('/proc', str(orphan)).exists(), 30)
    seconds = time.monotonic() - lost_at
    _, errors = process.communicate(timeout=300)
    cluster.shutdown()
    happened = {'code': process.returncode, 'errors': errors, 'lost': workdir, 'orphan_lived_seconds': seconds}
    print(json.dumps(happened))


if __name__ == '__main__':
    main(*sys.argv[1:])
