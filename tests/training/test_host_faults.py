"""What can befall one of several hosts: the others end, soon, and say why; and the same command goes on.

`python -m pytest tests/training/test_host_faults.py -s` prints how long each took; the slow ones do what the others do
on four hosts, between machines of their own, and ten times over.
"""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from efficiency import records
from tests.training.patches import with_patch
from tests.training.several import Host, end_of, free_port, image_tree, main_command, run_hosts, start_hosts, wait_for
from tests.training.test_run import assert_same_run

# Long enough that no fault comes after its end; the dataset is held in memory.
LENET = ['--config=configs/lenet5.py', '--config.target.value=1.0']
LONG = [*LENET, '--config.num_epochs=1000', '--config.eval_every=0.5']
SHORT = [*LENET, '--config.num_epochs=1.6', '--config.eval_every=0.1']


def saved(workdir):
    """The steps of the whole checkpoints."""
    return sorted(int(path.name) for path in workdir.glob('checkpoints/*') if path.name.isdigit())


def training(folder, count, args=LONG, **how):
    """Hosts that train, once the first checkpoint is there."""
    hosts = start_hosts(folder, count, args, **how)
    wait_for(lambda: saved(hosts[0].workdir), hosts)
    return hosts


def kill_after(checkpoints, folder, args, count=2):
    """Kills all hosts of a run after so many checkpoints."""
    hosts = start_hosts(folder, count, args)
    wait_for(lambda: len(saved(hosts[0].workdir)) >= checkpoints, hosts)
    for host in hosts:
        host.kill()


def assert_others_say(ended, lost, says, within=60):
    """Every host but the lost ones has ended, not well, within the time, and one line names the cause."""
    for i, host in enumerate(ended):
        if i in lost:
            continue
        print(f'host {i} ended with {host.code} after {host.seconds:.1f} s: {" ".join(host.sentences)}')
        assert host.seconds < within
        assert 'Traceback' not in host.errors
        if 0 in lost and host.code == -signal.SIGABRT:
            # jax's own watch, which keeps to host 0, is the first to notice, and has a line of its own.
            assert 'the leader task was preempted/died/restarted' in host.errors
            continue
        assert host.code == 1, host.errors
        assert any(says in sentence for sentence in host.sentences), host.errors


@pytest.mark.parametrize('at', [0, 1])
@pytest.mark.parametrize('number', [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_at_any_host_stops_all_at_one_step_and_they_go_on(at, number, tmp_path):
    hosts = training(tmp_path, 2)
    since = time.monotonic()
    hosts[at].process.send_signal(number)
    ended = end_of(hosts, since)
    print(f'signal {number} at host {at}: ended after {max(host.seconds for host in ended):.1f} s')
    assert [host.code for host in ended] == [128 + number] * 2, ended
    assert max(host.seconds for host in ended) < 10
    (step,) = {sentence.split(' of ')[0] for host in ended for sentence in host.sentences}
    assert step == f'efficiency: stopped at step {saved(hosts[0].workdir)[-1]}'
    assert records.read(hosts[0].workdir)['status'] == 'running'


def test_a_signal_before_the_first_step_stops_all_at_once(tmp_path):
    hosts = start_hosts(tmp_path, 2, ['--config=configs/shufflenet.py'], env={'XDG_CACHE_HOME': str(tmp_path)})
    wait_for((hosts[0].workdir / 'run.log').exists, hosts)
    since = time.monotonic()
    hosts[1].process.terminate()
    ended = end_of(hosts, since)
    print(f'ended after {max(host.seconds for host in ended):.1f} s')
    assert [host.code for host in ended] == [143] * 2, ended
    assert max(host.seconds for host in ended) < 10
    assert {sentence for host in ended for sentence in host.sentences} == {
        'efficiency: stopped before a step was finished; the same command goes on from what was saved'
    }


@pytest.mark.parametrize(
    ('count', 'lost'),
    [(2, 0), (2, 1), pytest.param(4, 0, marks=pytest.mark.slow), pytest.param(4, 2, marks=pytest.mark.slow)],
)
def test_a_host_that_is_killed_ends_the_others(count, lost, tmp_path):
    hosts = training(tmp_path, count)
    since = time.monotonic()
    hosts[lost].process.kill()
    assert_others_say(end_of(hosts, since), {lost}, f'the connection to host {lost}')


@pytest.mark.parametrize('lost', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_host_that_hangs_is_named(lost, tmp_path):
    hosts = training(tmp_path, 2)
    since = time.monotonic()
    hosts[lost].process.send_signal(signal.SIGSTOP)
    try:
        assert_others_say(end_of(hosts[1 - lost : 2 - lost], since), set(), f'host {lost}')
    finally:
        hosts[lost].kill()


_SLOW_DISK = """
from efficiency.training.checkpoint import Checkpoints
write = Checkpoints._write
def slowly(self, *args):
    print('writes', file=sys.stderr, flush=True)
    time.sleep(12)
    write(self, *args)
Checkpoints._write = slowly
"""


@pytest.mark.slow
def test_a_checkpoint_that_is_being_written_is_whole_before_host_0_ends(tmp_path):
    hosts = start_hosts(tmp_path, 2, LONG, env=with_patch(tmp_path / 'site', _SLOW_DISK))
    wait_for(lambda: 'writes' in hosts[0].errors, hosts)
    since = time.monotonic()
    hosts[1].process.kill()
    assert_others_say(end_of(hosts, since), {1}, 'the connection to host 1')
    assert saved(hosts[0].workdir)


_SLOW_COMPILER = """
from efficiency.tasks.evaluation import ScoresEvaluator
compile = ScoresEvaluator.compile
def slowly(self, variables):
    compile(self, variables)
    time.sleep(45)
ScoresEvaluator.compile = slowly
"""


@pytest.mark.slow
@pytest.mark.parametrize('slow', [0, 1])
def test_a_host_that_compiles_for_longer_is_waited_for(slow, tmp_path):
    each = {slow: ((), with_patch(tmp_path / 'site', _SLOW_COMPILER))}
    ended = run_hosts(tmp_path, 2, [*LENET, '--config.num_epochs=0.1'], each=each)
    assert [host.code for host in ended] == [0, 0], ended


_KILLED_ON_THE_WAY = """
import jax
def die(*args, **kwargs):
    os.kill(os.getpid(), 9)
jax.distributed.initialize = die
"""


def test_a_host_that_is_lost_before_all_are_connected(tmp_path):
    since = time.monotonic()
    each = {1: ((), with_patch(tmp_path / 'site', _KILLED_ON_THE_WAY))}
    ended = end_of(start_hosts(tmp_path, 2, LONG, each=each), since)
    assert_others_say(ended, {1}, 'a host was lost before all were connected')


_STUCK = """
from efficiency.training.trainer import Trainer
take = Trainer._take_step
def stuck(self, state, batch):
    if self.run.steps == 100:
        print('sleeps', file=sys.stderr, flush=True)
        time.sleep(1000)
    return take(self, state, batch)
Trainer._take_step = stuck
"""


@pytest.mark.parametrize('lost', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_host_that_is_alive_and_stuck_is_named(lost, tmp_path):
    hosts = start_hosts(tmp_path, 2, LONG, each={lost: ((), with_patch(tmp_path / 'site', _STUCK))})
    wait_for(lambda: 'sleeps' in hosts[lost].errors, hosts)
    assert_others_say(end_of(hosts, time.monotonic()), set(), f'host {lost} hung: no step was finished for')


@pytest.mark.parametrize('at', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_image_that_cannot_be_read_on_one_host_is_named_by_all_and_once_mended_the_run_goes_on(at, tmp_path):
    args = [
        '--config=configs/lenet5.py:two_classes', '--config.target.value=1.0', '--config.image_size=32',
        '--config.batch_size=8', '--config.num_epochs=2.0', '--config.eval_every=0.5', '--data_workers=1',
    ]  # fmt: skip
    # Each host has images of its own; broken are those of one that the fingerprint is not taken of.
    trees = [image_tree(tmp_path / f'images{i}', 50) for i in range(2)]
    paths = sorted(trees[at].glob('train/*/*.jpg'))
    broken = [paths[i] for i in set(range(100)) - set(np.linspace(0, 99, 64).astype(int))]
    content = {path: path.read_bytes() for path in broken}
    for path in broken:
        path.write_bytes(content[path][:-40])
    each = {i: ([f'--data_dir={tree}'], {}) for i, tree in enumerate(trees)}
    hosts = start_hosts(tmp_path, 2, args, each=each)
    assert_others_say(end_of(hosts), set(), f'{trees[at]}')
    record = records.read(hosts[0].workdir)
    assert record['status'] == 'failed'
    assert any(f'{path} cannot be read' in record['failure'] for path in broken)
    for path in broken:
        path.write_bytes(content[path])
    ended = run_hosts(tmp_path, 2, args, each=each)
    assert [host.code for host in ended] == [0, 0], ended
    assert records.read(hosts[0].workdir)['status'] in ('exhausted', 'reached')


@pytest.mark.parametrize('full', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_full_disk_at_one_host(full, tmp_path):
    """Host 0's ends the run, of which the others hear; the others' do not matter, as they write nothing."""
    args = [*SHORT, '--config.num_epochs=0.4']
    limited = ['bash', '-c', 'ulimit -f 300; exec "$@"', 'bash']
    port = free_port()
    hosts = []
    for i in range(2):
        command = main_command(*args, f'--coordinator=127.0.0.1:{port}', '--num_hosts=2', f'--host={i}')
        hosts.append(Host(tmp_path / f'host{i}', [*limited, *command] if i == full else command, {}))
    ended = end_of(hosts)
    if full == 0:
        assert_others_say(ended, set(), 'File too large; what was written before is whole')
    else:
        assert [host.code for host in ended] == [0, 0], ended


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(tmp_path):
    draw = random.Random(0)
    args = [*SHORT, '--config.num_epochs=4.0']
    whole = run_hosts(tmp_path / 'whole', 2, args)
    assert [host.code for host in whole] == [0, 0], whole
    began = time.monotonic()
    kills = runs = 0
    longest = 0.0
    while kills < 10:
        folder = tmp_path / f'run{runs}'
        hosts = start_hosts(folder, 2, args)
        # Half of the moments lie in training, wherever that begins.
        while kills % 2 == 0 and hosts[0].process.poll() is None and not saved(hosts[0].workdir):
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 6.0 if kills % 2 else 1.5))
        lost = draw.randrange(2)
        if hosts[lost].process.poll() is not None:
            ended = end_of(hosts)
            assert [host.code for host in ended] == [0, 0], ended
            assert_same_run(folder / 'host0' / 'run', tmp_path / 'whole' / 'host0' / 'run')
            runs += 1
            continue
        since = time.monotonic()
        hosts[lost].process.kill()
        ended = end_of(hosts, since)
        assert ended[1 - lost].code != 0
        longest = max(longest, ended[1 - lost].seconds)
        kills += 1
    ended = run_hosts(folder, 2, args)
    assert [host.code for host in ended] == [0, 0], ended
    assert_same_run(folder / 'host0' / 'run', tmp_path / 'whole' / 'host0' / 'run')
    print(f'ten kills in {time.monotonic() - began:.0f} s; the other host ended after at most {longest:.1f} s')


@pytest.fixture
def two_machines(tmp_path):
    """Two network namespaces with an address each and a wire between; gives the command that runs in one, by number."""
    if os.geteuid() or not shutil.which('ip'):
        pytest.skip('network namespaces need root and iproute2')
    names = [f'eff{os.getpid()}-{i}' for i in range(2)]
    wires = [f'eff{os.getpid() % 100000}{end}' for end in 'ab']

    def ip(*args):
        return subprocess.run(['ip', *args], check=True, capture_output=True, text=True)

    try:
        ip('link', 'add', wires[0], 'type', 'veth', 'peer', 'name', wires[1])
        for i, (name, wire) in enumerate(zip(names, wires, strict=True)):
            ip('netns', 'add', name)
            ip('link', 'set', wire, 'netns', name)
            for change in (('addr', 'add', f'10.77.0.{i + 1}/24', 'dev', wire), ('link', 'set', wire, 'up'),
                           ('link', 'set', 'lo', 'up')):  # fmt: skip
                ip('netns', 'exec', name, 'ip', *change)
            # Where a machine's own name is looked up, at which the hosts listen for one another.
            folder = f'/etc/netns/{name}'
            os.makedirs(folder, exist_ok=True)
            with open(f'{folder}/hosts', 'w') as file:
                file.write(f'127.0.0.1 localhost\n10.77.0.{i + 1} {os.uname().nodename}\n')
    except subprocess.CalledProcessError as error:
        for name in names:
            shutil.rmtree(f'/etc/netns/{name}', ignore_errors=True)
            subprocess.run(['ip', 'netns', 'del', name], check=False, capture_output=True)
        pytest.skip(f'network namespaces cannot be made here: {error.stderr.strip()}')

    def wire(state):
        ip('netns', 'exec', names[1], 'ip', 'link', 'set', wires[1], state)

    yield [['ip', 'netns', 'exec', name] for name in names], wire
    for name in names:
        subprocess.run(['ip', 'netns', 'del', name], check=False)
        shutil.rmtree(f'/etc/netns/{name}', ignore_errors=True)


def on_machines(commands, folder, args):
    hosts = []
    for i, inside in enumerate(commands):
        command = main_command(*args, '--coordinator=10.77.0.1:8476', '--num_hosts=2', f'--host={i}')
        hosts.append(Host(folder / f'host{i}', [*inside, *command], {}))
    return hosts


@pytest.mark.slow
def test_a_cut_network_ends_both_sides(two_machines, tmp_path):
    commands, wire = two_machines
    hosts = on_machines(commands, tmp_path, LONG)
    wait_for(lambda: saved(hosts[0].workdir), hosts)
    since = time.monotonic()
    wire('down')
    ended = end_of(hosts, since)
    assert_others_say(ended[:1], set(), 'host 1 was not heard of for 30 s')
    assert_others_say(ended[1:], set(), 'host 0, at 10.77.0.1:8476, was not heard of for 30 s')


@pytest.mark.parametrize('seconds', [6, pytest.param(17, marks=pytest.mark.slow)])
def test_a_short_cut_of_the_network_is_survived(seconds, two_machines, tmp_path):
    commands, wire = two_machines
    hosts = on_machines(commands, tmp_path, LONG)
    wait_for(lambda: saved(hosts[0].workdir), hosts)
    wire('down')
    time.sleep(seconds)
    wire('up')
    since, before = time.monotonic(), saved(hosts[0].workdir)[-1]
    wait_for(lambda: saved(hosts[0].workdir)[-1] > before + 130, hosts)
    print(f'{seconds} s without a network; steps went on {time.monotonic() - since:.1f} s after it was back')
    hosts[1].process.terminate()
    assert [host.code for host in end_of(hosts)] == [143, 143]
