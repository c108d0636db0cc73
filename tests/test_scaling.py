"""How a train step scales over TPU chips, and the plan that is made of it."""

import sys

import pytest

from benchmarks import machine, scaling, scaling_plan
from benchmarks.scaling import Settings, claims, compile_steps, read_rows
from benchmarks.scaling_plan import examples_factor, exchange_seconds, plan
from efficiency.errors import UserError
from tests.conftest import ROOT

PAGE = (ROOT / 'docs' / 'scaling.md').read_text()
PARAMS = 2_278_604
# Means and variances of 8,090 channels.
STATISTICS = 2 * 8_090


@pytest.fixture(scope='module')
def shufflenet():
    """ShuffleNet v2 on one chip and on eight, at 32 pixels: what is exchanged does not depend on the images."""
    pytest.importorskip('libtpu', reason='needs the extra tpu-aot')
    settings = [
        Settings('shufflenet_v2_x1_0', topology, 16, 'default', '--config.image_size=32')
        for topology in ('v5e:1x1', 'v5e:2x4')
    ]
    return {row['chips']: row for row in compile_steps(settings, jobs=2)}


@pytest.mark.tpu_aot
def test_flops_a_chip_do_not_grow_with_the_slice(shufflenet):
    assert shufflenet[8]['flops'] == pytest.approx(shufflenet[1]['flops'], rel=0.01)
    assert 1 <= shufflenet[8]['flops'] / shufflenet[8]['real_flops'] <= 1.5


@pytest.mark.tpu_aot
def test_gradients_and_statistics_are_exchanged_once_and_nothing_else(shufflenet):
    assert shufflenet[1]['all_reduces'] == 0
    assert {row['other_collectives'] for row in shufflenet.values()} == {'none'}
    assert shufflenet[8]['gradient_bytes'] == 4 * PARAMS
    assert shufflenet[8]['statistics_bytes'] == 4 * STATISTICS
    assert shufflenet[8]['all_reduce_bytes'] == 4 * (PARAMS + STATISTICS + 1)


@pytest.mark.tpu_aot
def test_the_claims_are_of_what_was_compiled(shufflenet):
    assert [holds for _, holds in claims(shufflenet.values())] == 6 * [True]


ONE = {'topology': 'v5e:1x1', 'chips': 1, 'flops': 1000.0, 'all_reduces': 0, 'all_reduce_bytes': 0, 'sends': 0,
       'gradient_bytes': 4000, 'statistics_bytes': 20, 'other_collectives': 'none'}  # fmt: skip
EIGHT = ONE | {'topology': 'v5e:2x4', 'chips': 8, 'flops': 1009.0, 'all_reduces': 3, 'all_reduce_bytes': 4024}
MANY = EIGHT | {'topology': 'v5e:16x16', 'chips': 256, 'flops': 1009.9}


@pytest.mark.parametrize(
    ('rows', 'wrong'),
    [
        ([ONE, EIGHT, MANY], []),
        ([ONE, EIGHT, MANY | {'flops': 1007.9}], [0]),
        ([ONE | {'flops': 999.0}, EIGHT, MANY], [1]),
        ([ONE | {'all_reduces': 1}, EIGHT, MANY], [2]),
        ([ONE, EIGHT, MANY | {'other_collectives': '1 all-gather'}], [3]),
        ([ONE, EIGHT, MANY | {'all_reduce_bytes': 4044, 'statistics_bytes': 40}], [4]),
        ([ONE, EIGHT, MANY | {'all_reduce_bytes': 4025}], [5]),
    ],
)
def test_what_does_not_hold_is_found(rows, wrong):
    assert [number for number, (_, holds) in enumerate(claims(rows)) if not holds] == wrong


def test_one_slice_alone_claims_nothing():
    assert claims([ONE]) == []


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, 'argv', ['benchmarks.scaling', *arguments])
    with pytest.raises(SystemExit) as end:
        scaling.main()
    return end.value.code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--networks=alexnet'], "there is no recipe of 'alexnet' here; there are shufflenet_v2_x1_0, resnet50, "),
        (['--topologies=v5e:3x5'], 'of v5e there are v5e:1x1, '),
        (['--config.precisian=bfloat16'], 'the config has no key precisian; did you mean precision?'),
        (['--write=1'], 'ignored explicit argument'),
        (['--job=2'], 'there is no option --job=2'),
        (['--batch_per_chip=0'], '--batch_per_chip and --jobs must be above 0'),
        (['--plan=256'], '--plan=256: a plan is of several pods, 257 to 16384 chips'),
        (['--plan=600'], ' for 3xv5e:16x16 is kept; compile it first, with --write'),
    ],
)
def test_a_mistake_is_one_sentence(arguments, message, monkeypatch, capsys):
    code, error = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert message in error


def test_rows_are_kept_and_the_command_goes_on(tmp_path, monkeypatch, capsys):
    """With a compiler that is counted instead of waited for."""
    compiled = []

    def compile_steps(settings, jobs):
        for each in settings:
            compiled.append(each.topology)
            (row,) = (row for row in committed if Settings(*(row[name] for name in Settings._fields)) == each)
            yield row
            if len(compiled) == 1:
                raise UserError('a process that compiled was killed')

    committed = read_rows()
    monkeypatch.setattr(machine, 'RESULTS', tmp_path)
    monkeypatch.setattr(scaling, 'compile_steps', compile_steps)
    monkeypatch.setattr(scaling, 'check', lambda *_: None)
    command = ['--networks=resnet50', '--topologies=v5e:2x4,v5e:8x8', '--batch_per_chip=16', '--write',
               '--config.image_size=32']  # fmt: skip
    assert run(monkeypatch, capsys, *command)[0] == 2
    monkeypatch.setattr(sys, 'argv', ['benchmarks.scaling', *command])
    assert scaling.main() == 0
    assert compiled == ['v5e:2x4', 'v5e:8x8']
    assert '2 of 2' in capsys.readouterr().err
    assert [row['topology'] for row in read_rows()] == ['v5e:2x4', 'v5e:8x8']


# The page


def test_the_page_has_what_was_compiled_and_the_plan_that_follows():
    """The first is what `scaling.markdown(scaling.read_rows())` returns, the second what --plan=1000 prints."""
    rows = read_rows()
    assert scaling.markdown(rows) in PAGE
    tables = [block for block in plan(rows, 1000).split('\n\n') if block.startswith('|')]
    assert len(tables) == 4
    for table in tables:
        assert table in PAGE


@pytest.mark.parametrize('overrides', ['', scaling_plan.SMALL])
def test_the_page_says_what_holds_and_what_does_not(overrides):
    kept = [row for row in read_rows() if row['overrides'] == overrides and row['matmul_precision'] == 'default']
    for network in scaling.RECIPES:
        for claim, holds in claims([row for row in kept if row['network'] == network and not row['sends']]):
            assert f'    {"holds" if holds else "FAILS"}: {network}, {claim}\n' in PAGE


def test_every_network_was_compiled_for_every_slice():
    kept = {(row['network'], row['topology']) for row in read_rows() if row['overrides'] in ('', scaling_plan.SMALL)}
    assert kept >= {(network, topology) for network in scaling.RECIPES for topology in scaling.TOPOLOGIES}


# The plan


def test_at_the_critical_batch_examples_are_twice_the_fewest_and_so_are_steps():
    critical = 15_000
    assert examples_factor(critical, critical) == pytest.approx(2 * examples_factor(1e-9, critical))
    assert examples_factor(critical, critical) / critical == pytest.approx(2 * examples_factor(1e12, critical) / 1e12)
    assert examples_factor(256, critical) == 1


ROW = {'all_reduces': 100, 'all_reduce_bytes': 1e8, 'send_bytes': 1e6}


def test_bytes_take_the_same_time_on_any_number_of_chips_that_close_to_rings():
    one, hops, between = exchange_seconds(ROW, 256)
    # In a ring each of n chips sends (n - 1) / n of the bytes to be summed and as much to hand the sums around.
    assert one == pytest.approx(2 * 1e8 / 200e9)
    # Eight hops on each of two axes, there and back.
    assert hops == pytest.approx(100 * 32e-6)
    assert between == 0
    assert exchange_seconds(ROW, 64)[0] == 2 * one
    assert exchange_seconds(ROW, 1024)[2] == pytest.approx(1.5 * 8 * 1e6 / 25e9)
