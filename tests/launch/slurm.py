"""A SLURM cluster of two nodes on this one machine, for as long as a test needs it: no systemd, nothing left behind."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tests.conftest import ROOT

_DAEMONS = ('munged', 'slurmctld', 'slurmd', 'unshare')
_CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
FirstJobId={first_job}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no such cluster here; None if there can."""
    absent = [daemon for daemon in _DAEMONS if not shutil.which(daemon, path='/usr/sbin:/usr/bin:/sbin:/bin')]
    if absent:
        return f'{", ".join(absent)} of SLURM is not installed'
    return None if os.geteuid() == 0 else 'the daemons of SLURM want to be root'


class Cluster:
    """Two nodes of two CPUs, n1 and n2, whose jobs run this interpreter as `python`.

    Args:
        folder: for what the daemons write.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._daemons: list[subprocess.Popen] = []
        ports = _free_ports(3)
        (folder / 'state').mkdir(parents=True)
        # jax takes its coordinator's port from the job's number: another cluster on this machine takes other ones.
        host = socket.gethostname().split('.')[0]
        conf = _CONF.format(host=host, folder=folder, ports=ports, first_job=ports[0] % 4000)
        (folder / 'slurm.conf').write_text(conf)
        # Nodes' names must resolve, as jax's coordinator is the first of them: in a hosts file that jobs alone see.
        (folder / 'hosts').write_text(pathlib.Path('/etc/hosts').read_text() + '\n127.0.0.1 n1 n2\n')
        (folder / 'key').write_bytes(os.urandom(1024))
        (folder / 'key').chmod(0o400)
        self.env = os.environ | {
            'SLURM_CONF': str(folder / 'slurm.conf'),
            'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}:/usr/sbin:/sbin',
            'JAX_PLATFORMS': 'cpu',
        }
        try:
            self._start(
                'munged', '--foreground', '--force', f'--key-file={folder}/key', f'--socket={folder}/munge.socket',
                f'--pid-file={folder}/munged.pid', f'--log-file={folder}/munged.log', f'--seed-file={folder}/seed',
            )  # fmt: skip
            wait_until((folder / 'munge.socket').exists)
            self._start('slurmctld', '-D', '-c')
            for node in ('n1', 'n2'):
                mount = f'mount --bind {folder}/hosts /etc/hosts && exec slurmd -D -N {node}'
                self._start('unshare', '--mount', '--propagation', 'private', 'sh', '-c', mount)
            wait_until(lambda: self.run('sinfo', '-h', '-N', '-t', 'idle').count('\n') == 2)
        except BaseException:
            self.close()
            raise

    def _start(self, *command: str) -> None:
        log = open(self.folder / f'daemon-{len(self._daemons)}.log', 'wb')  # noqa: SIM115  (the daemon's)
        with log:
            self._daemons.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=self.folder))

    def run(self, *command: str, timeout: float = 60) -> str:
        """What a command prints that talks to the cluster, '' if it fails; commands run in the clone."""
        done = subprocess.run(
            command, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
        return done.stdout if done.returncode == 0 else ''

    def submit(self, *command: str) -> str:
        """Submits a job, and returns its number."""
        done = subprocess.run(
            ['sbatch', '--parsable', *command], env=self.env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What the cluster says of a job, by SLURM's own names: JobState, ExitCode, Restarts and so on."""
        words = self.run('scontrol', 'show', 'job', '-o', number).split()
        return dict(word.split('=', 1) for word in words if '=' in word)

    def wait_for(self, number: str, *states: str, timeout: float = 120) -> dict[str, str]:
        """Waits until a job is in one of the states, and returns what is said of it then."""
        said = {}

        def is_there():
            said.update(self.job(number))
            return said.get('JobState') in states

        wait_until(is_there, timeout)
        return said

    def close(self) -> None:
        """Ends every job, then the daemons, the youngest first."""
        if self.run('squeue', '-h'):
            self.run('scancel', '--full', '--user=root')
            deadline = time.monotonic() + 20
            while self.run('squeue', '-h') and time.monotonic() < deadline:
                time.sleep(0.5)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(('127.0.0.1', 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Waits for something to be true, and fails if it does not come."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f'not within {seconds} s'
        time.sleep(0.1)
