"""A run over several hosts is the run of one host with as many devices; what is wrong with one is told by all."""

import functools
import json
import time

import jax
import numpy as np
import pytest

import efficiency
from efficiency import records
from tests import small
from tests.training.several import Host, end_of, free_port, image_tree, main_command, run_hosts, start_hosts
from tests.training.test_run import assert_same_run

TWO_DEVICES = {'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
RUN = [small.CONFIG, '--config.num_epochs=0.16', '--config.eval_every=0.04', '--config.target.value=1.0']


def alone(folder, args, devices=1):
    """The run of one host on that many devices."""
    env = {'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}
    (ended,) = end_of([Host(folder, main_command(*args), env)])
    assert ended.code == 0, ended.errors
    return folder / 'run'


def without_hosts_and_times(value):
    """A record without what may differ between machines of one shape: times, rates and the number of hosts."""
    if isinstance(value, dict):
        return {
            key: without_hosts_and_times(inner)
            for key, inner in value.items()
            if not key.endswith('_seconds') and key not in ('hosts', 'throughput', 'clock')
        }
    return [without_hosts_and_times(inner) for inner in value] if isinstance(value, list) else value


def assert_one_run(many, one):
    """Of hosts and of one host with as many devices: parameters, curve and record."""
    assert_same_run(many, one)
    assert without_hosts_and_times(records.read(many)) == without_hosts_and_times(records.read(one))


def assert_near(ours, theirs, atol):
    """Of trees of arrays."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol, rtol=0), ours, theirs)


@pytest.fixture(scope='module')
def two_hosts(tmp_path_factory):
    """A run over two hosts of a network with batch norm, and the folder."""
    folder = tmp_path_factory.mktemp('two')
    return folder, run_hosts(folder, 2, RUN)


def test_two_hosts_train_as_two_devices_of_one_host_to_the_bit(two_hosts, tmp_path):
    folder, ended = two_hosts
    assert [host.code for host in ended] == [0, 0], ended
    record = records.read(folder / 'host0' / 'run')
    assert record['devices'] == {'kind': 'cpu', 'count': 2, 'hosts': 2}
    assert len(record['curve']) == 4
    assert_one_run(folder / 'host0' / 'run', alone(tmp_path, RUN, devices=2))


def test_stages_are_trained_alike_on_two_hosts(tmp_path):
    staged = [f'{small.CONFIG}:staged', *RUN[1:]]
    ended = run_hosts(tmp_path / 'two', 2, staged)
    assert [host.code for host in ended] == [0, 0], ended
    many, one = tmp_path / 'two' / 'host0' / 'run', alone(tmp_path / 'one', staged, devices=2)
    programs = records.read(many)['programs']
    assert [(p['stage'], p['steps'], p['batch_size'], p['image_size']) for p in programs] == [
        (0, 10, 32, 20), (1, 5, 64, 28),
    ]  # fmt: skip
    assert_one_run(many, one)


def test_host_0_alone_writes_and_shows(two_hosts):
    folder, (first, second) = two_hosts
    assert 'train compute' not in second.out + second.errors
    assert 'small on mnist5k, exhausted' in first.out
    assert 'on 2 hosts' in first.errors
    assert not (folder / 'host1' / 'run').exists()


@pytest.mark.parametrize('changed', [False, True])
def test_a_finished_run_is_known_to_host_0_and_told_to_the_others(changed, two_hosts, monkeypatch, tmp_path):
    folder, _ = two_hosts
    path = folder / 'host0' / 'run' / 'run.json'
    if changed:  # as if a file of its code had been another, so that host 0 traces its step anew
        record = json.loads(path.read_text())
        record['code']['own_files']['config_config'] = '0' * 64
        path.write_text(json.dumps(record))
        monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    again = run_hosts(folder, 2, RUN)
    assert [host.code for host in again] == [0, 0], again
    assert 'this run was finished before' in again[0].errors
    assert again[1].sentences == []


@pytest.mark.slow
def test_two_hosts_on_photographs_that_workers_decode(tfds_dir, tmp_path):
    args = [
        '--config=configs/squeezenet.py:imagenet_sample', f'--data_dir={tfds_dir}', '--config.image_size=64',
        '--config.batch_size=50', '--config.num_epochs=1.6', '--config.eval_every=0.4', '--config.eval_batch_size=64',
    ]  # fmt: skip
    ended = run_hosts(tmp_path, 2, args)
    assert [host.code for host in ended] == [0, 0], ended
    assert_one_run(tmp_path / 'host0' / 'run', alone(tmp_path / 'alone', args, devices=2))


GAMES = [
    '--config=configs/games/alphago_zero.py:tic_tac_toe', '--config.model.width=16', '--config.model.layers=1',
    '--config.environments=8', '--config.batch_size=48', '--config.updates=2', '--config.update_batch=32',
    '--config.simulations=2', '--config.gate_every=2', '--config.num_epochs=0.000288', '--config.eval_every=0.000144',
    '--config.stop_at_target=False',
]  # fmt: skip


@pytest.mark.slow
def test_hosts_play_the_games_of_one_host(tmp_path):
    """What games carry is whole on each of several hosts, and split on one: executables differ, sums round apart."""
    ended = run_hosts(tmp_path / 'two', 2, GAMES)
    assert [host.code for host in ended] == [0, 0], ended
    two, one = (
        efficiency.load_run(workdir)
        for workdir in (tmp_path / 'two' / 'host0' / 'run', alone(tmp_path / 'one', GAMES, devices=2))
    )
    assert two.record['test'] == one.record['test']
    for ours, theirs in zip(two.record['curve'], one.record['curve'], strict=True):
        assert [ours[key] for key in ('step', 'examples', 'train_macs')] == [
            theirs[key] for key in ('step', 'examples', 'train_macs')
        ]
        assert ours['raw_accuracy'] == pytest.approx(theirs['raw_accuracy'], abs=0.002)
    assert_near(two.variables['params'], one.variables['params'], atol=1e-5)


LANGUAGE = [
    '--config=configs/language/transformer.py', '--config.model.layers=1', '--config.model.width=32',
    '--config.model.hidden=48', '--config.model.heads=2', '--config.num_epochs=0.002', '--config.eval_every=0.001',
    '--config.stop_at_target=False',
]  # fmt: skip


@pytest.mark.slow
def test_hosts_read_the_text_of_one_host(tfds_dir, tmp_path):
    args = [*LANGUAGE, f'--data_dir={tfds_dir}']
    ended = run_hosts(tmp_path / 'two', 2, args)
    assert [host.code for host in ended] == [0, 0], ended
    assert_one_run(tmp_path / 'two' / 'host0' / 'run', alone(tmp_path / 'one', args, devices=2))


@pytest.mark.slow
def test_four_hosts_evaluate_alike_and_train_within_rounding(tmp_path):
    args = ['--config=configs/lenet5.py', '--config.num_epochs=0.4', '--config.eval_every=0.1']
    ended = run_hosts(tmp_path, 4, args)
    assert [host.code for host in ended] == [0] * 4, ended
    four, one = (
        efficiency.load_run(workdir)
        for workdir in (tmp_path / 'host0' / 'run', alone(tmp_path / 'alone', args, devices=4))
    )
    for ours, theirs in zip(four.record['curve'], one.record['curve'], strict=True):
        assert (ours['top1'], ours['top5']) == (theirs['top1'], theirs['top5'])
        assert ours['loss'] == pytest.approx(theirs['loss'], abs=1e-6)
    assert_near(four.variables['params'], one.variables['params'], atol=1e-6)


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_hosts_and_devices(tmp_path):
    """Stopped at step 10 by a smaller number of epochs it would be another run, so it is killed."""
    import shutil

    from tests.training.test_host_faults import kill_after

    args = ['--config=configs/lenet5.py', '--config.num_epochs=0.8', '--config.eval_every=0.1']
    whole = alone(tmp_path / 'whole', args, devices=2)
    kill_after(2, tmp_path / 'killed', args)
    losses = records.read(whole)['final']['loss']
    for count, devices in ((1, 1), (1, 2), (1, 4), (2, 1), (4, 1)):
        folder = tmp_path / f'{count}x{devices}'
        shutil.copytree(tmp_path / 'killed' / 'host0' / 'run', folder / 'host0' / 'run')
        env = {'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}
        if count == 1:
            ended = end_of([Host(folder / 'host0', main_command(*args), env)])
        else:
            ended = run_hosts(folder, count, args, env=env)
        assert {host.code for host in ended} == {0}, ended
        record = records.read(folder / 'host0' / 'run')
        assert record['final']['loss'] == pytest.approx(losses, abs=1e-6)
        # One entry for each executable: that of two devices is the one before.
        assert len(record['programs']) == (1 if count * devices == 2 else 2)
        assert sum(program['steps'] for program in record['programs']) == record['final']['step']
        if count * devices == 2:
            assert_same_run(folder / 'host0' / 'run', whole)


def test_hosts_evaluate_weights_together(tmp_path):
    from safetensors.numpy import save_file

    from efficiency.tasks.images.networks import create_model
    from efficiency.tasks.images.networks.variables import initialise
    from tests.tasks.images.networks.crosscheck import seeded_state

    state = seeded_state('lenet5', initialise(create_model('lenet5', 10, 28), jax.random.key(0), 28))
    save_file(state, tmp_path / 'weights.safetensors')
    args = [
        '--config=configs/lenet5.py', f'--config.init_from={tmp_path / "weights.safetensors"}',
        '--eval_only',
    ]  # fmt: skip
    first, second = run_hosts(tmp_path / 'two', 2, args)
    (one,) = end_of([Host(tmp_path / 'one', main_command(*args), TWO_DEVICES)])
    assert (first.code, second.code, one.code) == (0, 0, 0), first.errors
    assert second.out == ''
    assert json.loads(first.out) == json.loads(one.out)


LENET = ['--config=configs/lenet5.py', '--config.num_epochs=0.1']


def assert_told_by_all(ended, says):
    for host in ended:
        assert (host.code, 'Traceback' in host.errors) == (2, False), host.errors
        (sentence,) = host.sentences
        assert says in sentence
        assert host.seconds < 60


@pytest.mark.parametrize(
    ('difference', 'says'),
    [
        ((['--config.learning_rate=0.02'], {}), 'host 1 differs from host 0 in config.learning_rate (0.02 there, 0.01'),
        ((['--config.model.name=alexnet'], {}), 'differs from host 0 in config.model.name'),
        ((['--eval_only'], {}), 'differs from host 0 in --eval_only (True there, False on host 0)'),
        (([], {'PYTHONPATH': 'OTHER_VERSION'}), "differs from host 0 in versions.tqdm ('0.1' there"),
    ],
)  # fmt: skip
def test_hosts_that_differ_are_told_where(difference, says, tmp_path):
    args, env = difference
    if env:
        info = tmp_path / 'site' / 'tqdm-0.1.dist-info'
        info.mkdir(parents=True)
        (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: tqdm\nVersion: 0.1\n')
        env = {'PYTHONPATH': str(tmp_path / 'site')}
    since = time.monotonic()
    assert_told_by_all(end_of(start_hosts(tmp_path, 2, LENET, each={1: (args, env)}), since), says)


def test_a_batch_that_does_not_divide_over_the_hosts(tmp_path):
    since = time.monotonic()
    ended = end_of(start_hosts(tmp_path, 2, [*LENET, '--config.batch_size=31']), since)
    assert_told_by_all(ended, 'batch_size 31 does not divide over 2 devices; 32 would')


def test_a_mistake_on_one_host_ends_all(tmp_path):
    tree = tmp_path / 'tree'
    image_tree(tree, 40)
    args = [arg.replace('lenet5.py', 'lenet5.py:flowers') for arg in LENET] + ['--config.target.value=0.5']
    each = {1: ([f'--data_dir={tmp_path / "nowhere"}'], {})}
    since = time.monotonic()
    ended = end_of(start_hosts(tmp_path, 2, [*args, f'--data_dir={tree}'], each=each), since)
    assert_told_by_all(ended, 'nowhere')


@pytest.mark.parametrize('told', [[(2, 0), (2, 1), (3, 2)], [(2, 0), (2, 1), (2, 2)], [(3, 0), (3, 1), (3, 1)]])
def test_hosts_that_come_by_wrong_numbers(told, tmp_path):
    port, since = free_port(), time.monotonic()
    hosts = [
        Host(
            tmp_path / str(i),
            main_command(*LENET, f'--coordinator=127.0.0.1:{port}', f'--num_hosts={count}', f'--host={host}'),
            {},
        )
        for i, (count, host) in enumerate(told)
    ]
    assert_told_by_all(end_of(hosts, since), 'host')


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        (['--num_hosts=2', '--host=1', '--coordinator=127.0.0.1:1', '--wait_for_hosts=2'], 'it does not answer'),
        (['--num_hosts=2', '--host=0', '--coordinator=127.0.0.1:PORT', '--wait_for_hosts=2'], '1 did not come'),
        (['--num_hosts=2', '--host=1', '--coordinator=no.such.host:9', '--wait_for_hosts=2'], 'is not known'),
        (['--num_hosts=2', '--host=2', '--coordinator=127.0.0.1:9'], 'numbered from 0 to 1'),
        (['--num_hosts=2', '--host=-1', '--coordinator=127.0.0.1:9'], 'numbered from 0'),
        (['--num_hosts=2', '--host=0', '--coordinator=here'], 'must be HOST:PORT'),
        (['--num_hosts=2', '--host=0'], '--coordinator must be given too'),
        (['--wait_for_hosts=nan'], 'from 1 to 86,400 seconds'),
        (['--num_hosts=2', '--host=0', '--coordinator=127.0.0.1:9', '--wait_for_hosts=1e400'], 'from 1 to 86,400'),
        (['--num_hosts=0', '--host=0', '--coordinator=127.0.0.1:9'], 'at least one host'),
    ],
)
def test_a_mistake_in_the_hosts_is_one_sentence(args, says, tmp_path, run_main):
    args = [arg.replace('PORT', str(free_port())) for arg in args]
    done = run_main(*LENET, *args, f'--workdir={tmp_path / "run"}')
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith('efficiency: ')
    assert says in done.stderr
    assert done.stderr.strip().count('\n') == 0
    assert not (tmp_path / 'run').exists()


def test_one_task_of_a_cluster_is_one_process(run_main, tmp_path):
    env = {'SLURM_JOB_ID': '1', 'SLURM_NTASKS': '1', 'SLURM_PROCID': '0', 'SLURM_STEP_NODELIST': 'nowhere'}
    done = run_main(*LENET, f'--workdir={tmp_path / "run"}', env=env)
    assert done.returncode == 0, done.stderr
    assert records.read(tmp_path / 'run')['devices']['hosts'] == 1
