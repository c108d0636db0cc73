"""What is compiled ahead of time: its collectives, against what a data-parallel step has to exchange."""

import json
import os
import subprocess
import sys

import pytest

from efficiency.count import main
from efficiency.errors import UserError
from efficiency.flops.ahead import TOPOLOGIES, check_topology, collectives
from tests.conftest import ROOT

_OVER_FOUR = """
import json
from efficiency.costs import counted_network
from efficiency.flops.ahead import compile_ahead
from efficiency.training.mesh import DataParallel
counted = counted_network('lenet5', batch_size=8)
devices = DataParallel(8)
ahead = compile_ahead(counted.step, counted.state, counted.batch, devices.replicated, devices.split)
print(json.dumps([ahead.devices, ahead.collectives, ahead.bytes_per_device, counted.params]))
"""


def test_a_step_over_four_devices_adds_up_every_gradient_once():
    environment = os.environ | {'XLA_FLAGS': '--xla_force_host_platform_device_count=4'}
    done = subprocess.run(
        [sys.executable, '-c', _OVER_FOUR], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    devices, found, held, params = json.loads(done.stdout)
    assert devices == 4
    assert list(found) == ['all-reduce']
    # The gradients, and the loss.
    assert 4 * params < found['all-reduce'][1] <= 4 * (params + 8)
    # Parameters come in, gradients go out, two images of 32 pixels a device.
    assert held > 2 * 4 * params + 2 * 32 * 32 * 3 * 4


def test_collectives_are_read_in_every_form():
    hlo = """
  %all-reduce.1 = f32[64,3]{1,0:T(8,128)} all-reduce(%a), channel_id=1, replica_groups={{0,1}}
  %all-reduce.2 = (f32[10]{0}, bf16[2,2]{1,0}) all-reduce(%a, %b), channel_id=2
  %ars = f32[5]{0} all-reduce-start(%c), channel_id=3
  %ard = f32[5]{0} all-reduce-done(%ars)
  %ags = (bf16[4]{0}, bf16[16]{0}) all-gather-start(%d), dimensions={0}
  %agd = bf16[16]{0} all-gather-done(%ags)
  %cps = (s8[7]{0}, s8[7]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%e)
  %ag2 = (bf16[4]{0}, bf16[16]{0}, u32[], u32[]) all-gather-start(%d), dimensions={0}
  %cp2 = ((f32[4]{0}, f32[8]{0}), (f32[4]{0}, f32[8]{0}), u32[], u32[]) collective-permute-start(%d, %e)
  %ra = f32[3]{0} ragged-all-to-all(%g, %h)
  %rs = pred[] reduce-scatter(%f), dimensions={0}
  %send = (f32[1,2,128]{2,1,0:T(2,128)}, u32[], token[]) send(%i, %j), channel_id=4, is_host_transfer=true
  %sent = token[] send-done(%send), channel_id=4, is_host_transfer=true
  %fusion = f32[9]{0} fusion(%all-reduce.1), kind=kLoop
"""
    assert collectives(hlo) == {
        'all-gather': (2, 64),
        'all-reduce': (3, 4 * 64 * 3 + 4 * 10 + 2 * 4 + 4 * 5),
        'collective-permute': (2, 7 + 48),
        'ragged-all-to-all': (1, 12),
        'reduce-scatter': (1, 1),
        'send': (1, 4 * 2 * 128),
    }


# float32 in all of its bits takes libtpu ten times as long to compile, and sometimes minutes.
RECIPE = ['--config=configs/lenet5.py', '--config.batch_size=64', '--config.precision=bfloat16']


@pytest.mark.tpu_aot
@pytest.mark.parametrize(
    ('topology', 'what'),
    [
        pytest.param('v5e:1x1', RECIPE, marks=pytest.mark.slow), ('v5e:2x2', RECIPE), ('tpu7x:2x2x1', RECIPE),
        ('v4:2x2x1', RECIPE), pytest.param('v4:2x2x1', ['--models=lenet5', '--batch_size=64'], marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_step_is_compiled_for_tpus_that_are_not_here(topology, what, capsys):
    pytest.importorskip('libtpu', reason='needs the extra tpu-aot')
    assert main([*what, f'--topology={topology}', '--format=json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['chips'] == (1 if topology == 'v5e:1x1' else 4)
    assert 1 <= row['compiled_over_real'] < 1.5
    assert row['flops_per_chip'] * row['chips'] / 2 / (64 * row['train_real_macs']) == row['compiled_over_real']
    if row['chips'] == 1:
        assert row['collectives'] is None
        assert row['collective_mib'] == 0
    else:
        assert 'all-reduce' in row['collectives']
        assert row['collective_mib'] * 2**20 >= 2 * row['params']
    assert row['mib_per_chip'] * 2**20 > 2 * 4 * row['params']


@pytest.mark.tpu_aot
def test_several_slices_exchange_through_their_hosts(capsys):
    pytest.importorskip('libtpu', reason='needs the extra tpu-aot')
    assert main([*RECIPE, '--topology=2xv5e:2x2', '--format=json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row['chips'] == 8
    assert 'send' in row['collectives']


@pytest.mark.parametrize('topology', ['1xv5e:2x2', '0xv5e:2x2', '65xv5e:2x2', '2x2xv5e:2x2', '2xv5e:2x3'])
def test_what_are_no_slices_is_told(topology):
    with pytest.raises(UserError, match=f"there is no TPU topology '{topology}'"):
        check_topology(topology)


@pytest.mark.tpu_aot
@pytest.mark.slow
def test_the_slices_that_are_listed_are_libtpus():
    pytest.importorskip('libtpu', reason='needs the extra tpu-aot')
    code = (
        'import json; from efficiency.flops.ahead import TOPOLOGIES, topology_devices; '
        'print(json.dumps({f"{g}:{s}": topology_devices(f"{g}:{s}")[1] for g, all in TOPOLOGIES.items() for s in all}))'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])) == sum(map(len, TOPOLOGIES.values()))
