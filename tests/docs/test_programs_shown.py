"""The programs that the pages show work as they stand there."""

import json
import math
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import efficiency
from efficiency import records
from efficiency.studies.definition import read_study
from tests.conftest import ROOT
from tests.docs.pages import PAGES, programs
from tests.main_process import start_main
from tests.training.patches import SLOW_STEPS, with_patch
from tests.training.stopping import without_times
from tests.training.test_run import wait_for_checkpoint

DOCS = ROOT / 'docs'


def by_section(page):
    """The programs of a page; what follows a heading shares its names, as a reader has run what stands above."""
    sections = re.split(r'^\*\*|^#+ ', (DOCS / page).read_text(), flags=re.MULTILINE)
    return ['\n'.join(blocks) for text in sections if (blocks := re.findall(r'```python\n(.*?)```', text, re.DOTALL))]


COUNTING, FRAMEWORKS = by_section('counting.md'), by_section('frameworks.md')


def run_program(page, program):
    exec(compile(program, f'docs/{page}', 'exec'), {})


def test_no_page_has_programs_that_are_not_run_here():
    pages = {'counting.md', 'frameworks.md', 'networks.md', 'optimizers.md', 'own.md', 'records.md', 'studies.md'}
    assert {path.name for path in PAGES if programs(path)} == pages


@pytest.mark.parametrize('program', COUNTING)
def test_the_programs_on_counting_hold(program):
    run_program('counting.md', program)


@pytest.mark.parametrize('program', [program for program in FRAMEWORKS if 'torch' not in program])
def test_the_programs_on_xla_hold(program):
    run_program('frameworks.md', program)


@pytest.mark.crosscheck
@pytest.mark.parametrize('program', [program for program in FRAMEWORKS if 'torch' in program])
def test_the_programs_on_other_frameworks_hold(program):
    for module in ('torch', 'fvcore', 'thop'):
        pytest.importorskip(module, reason='needs the extra crosscheck')
    run_program('frameworks.md', program)


def test_the_studies_shown_are_studies(tmp_path):
    runs = []
    for program in programs(DOCS / 'studies.md'):
        (tmp_path / 'shown.py').write_text(program)
        study = read_study(str(tmp_path / 'shown.py'))
        runs.append((sum(len(system.seeds) for system in study.fixed), len(study.tuned)))
    assert runs == [(3 + 3 + 5, 0), (3 + 3 * 3, 1)]


def config_of_ones_own(folder, what):
    """The program that uses a decorator, as a config file of 15 lines at the most, a task's of 60."""
    (code,) = [program for program in programs(DOCS / 'own.md') if f'@{what}(' in program]
    assert len([line for line in code.splitlines() if line]) <= (60 if what == 'register_task' else 15)
    path = folder / 'mine.py'
    path.write_text(code)
    return path


# The program on records, after the file that registers the network; what it found is kept.
_LOAD = """
import mine
{program}
import numpy as np
np.savez('loaded.npz', logits=logits, **{{
    f'{{layer}}_{{name}}': value
    for layer, values in run.variables['params'].items() for name, value in values.items()
}})
"""


def test_a_network_of_ones_own(tmp_path, run_main):
    config, workdir = config_of_ones_own(tmp_path, 'register'), tmp_path / 'runs' / 'my-run'
    done = run_main(f'--config={config}', f'--workdir={workdir}', '--config.num_epochs=0.2')
    assert done.returncode == 0, done.stderr
    record = records.read(workdir)
    # Three equal channels of 28 x 28 pixels to 64 to 10.
    assert record['macs_per_example']['forward_dense'] == 3 * 28 * 28 * 64 + 64 * 10
    assert record['final']['top1'] > 0.5
    # What it learned is read by the program on records; of an image of zeros the biases alone are left, of which the
    # last layer's are Dense_0's, as it is made first.
    (program,) = programs(DOCS / 'records.md')
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    subprocess.run(
        [sys.executable, '-c', _LOAD.format(program=program)], cwd=tmp_path, env=environment, check=True, timeout=100
    )
    loaded = np.load(tmp_path / 'loaded.npz')
    expected = np.maximum(loaded['Dense_1_bias'], 0) @ loaded['Dense_0_kernel'] + loaded['Dense_0_bias']
    np.testing.assert_allclose(loaded['logits'], [expected], rtol=1e-5, atol=1e-6)


def test_an_optimizer_and_a_schedule_of_ones_own(tmp_path, run_main):
    config = config_of_ones_own(tmp_path, 'register_optimizer')
    done = run_main(f'--config={config}', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.024')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    assert record['config']['optimizer'] == {'name': 'novograd', 'b2': 0.5}
    assert record['config']['schedule'] == 'quadratic'
    assert record['programs'][0]['steps'] == 3


@pytest.mark.parametrize('number', range(len(programs(DOCS / 'optimizers.md'))))
def test_optimizers_that_a_config_asks_for(tmp_path, run_main, number):
    program = programs(DOCS / 'optimizers.md')[number]
    (tmp_path / 'asked.py').write_text(program)
    done = run_main(f'--config={tmp_path / "asked.py"}', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.024')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    assert record['programs'][0]['steps'] == 3
    # By hand: Muon's iterations on each kernel that is its, as a matrix of m by n, m the smaller side.
    iterations = 3 if "'ns_steps': 3" in program else 5
    layers = [] if 'muon' not in program else ['conv1', 'conv2', 'fc1', 'fc2'] + ['fc3'] * ('groups' not in program)
    params, by_hand = efficiency.load_run(tmp_path / 'run').variables['params'], 0
    for layer in layers:
        *inputs, outputs = params[layer]['kernel'].shape
        m, n = sorted((math.prod(inputs), outputs))
        by_hand += iterations * (2 * m * m * n + m**3)
    assert record['programs'][0]['optimizer_dense_macs_per_step'] == by_hand


def test_a_data_set_of_ones_own(tmp_path, run_main):
    config = config_of_ones_own(tmp_path, 'register_dataset')
    for folder, count in (('a', 40), ('b', 20)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            pixels = np.full((20 + i % 5, 24, 3), 25 * (i % 10), np.uint8)
            cv2.imwrite(str(tmp_path / folder / f'{i % 10}-{i:04}.png'), pixels)
    args = [f'--config={config}', f'--data_dir={tmp_path}', f'--workdir={tmp_path / "run"}']
    done = run_main(*args, '--config.batch_size=10', '--config.num_epochs=1.0', '--data_workers=1')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    data = record['dataset']
    assert (data['name'], data['num_train'], data['num_eval']) == ('digits', 40, 20)
    assert record['programs'][0]['steps'] == 4


def test_a_task_of_ones_own_is_trained_gone_on_with_counted_and_reported(tmp_path, run_main):
    config, runs = config_of_ones_own(tmp_path, 'register_task'), tmp_path / 'runs'
    done = run_main(f'--config={config}', f'--workdir={runs / "whole"}')
    assert done.returncode == 0, done.stderr
    assert re.search(r'target  mse <= 0\.003 on 400 examples\n +reached  at step', done.stdout)
    whole = records.read(runs / 'whole')
    # Two numbers to 32 to one, by hand: in training there are the gradients of both kernels and of what lies between.
    forward, train = 2 * 32 + 32, 2 * (2 * 32) + 3 * 32
    assert whole['macs_per_example'] == {
        'forward_dense': forward, 'forward_real': forward, 'train_dense': train, 'train_real': train,
    }  # fmt: skip
    crossing = whole['first_crossing']
    assert crossing['train_macs'] == train * crossing['examples']
    assert [point['mse'] <= 0.003 for point in whole['curve']] == [False] * (len(whole['curve']) - 1) + [True]
    # Killed on the way, it is the run that was not.
    longer = [
        f'--config={config}',
        '--config.stop_at_target=False',
        '--config.num_epochs=20.0',
        '--config.eval_every=1.0',
    ]
    slowly = with_patch(tmp_path / 'site', SLOW_STEPS)
    process = start_main([*longer, f'--workdir={tmp_path / "killed"}'], slowly)
    at = wait_for_checkpoint(tmp_path / 'killed', process)
    process.kill()
    process.communicate()
    for name in ('killed', 'unstopped'):
        done = run_main(*longer, f'--workdir={tmp_path / name}')
        assert done.returncode == 0, done.stderr
    assert records.read(tmp_path / 'killed')['resumed_from_steps'][0] >= at
    ended = [records.read(tmp_path / name) for name in ('killed', 'unstopped')]
    assert without_times(ended[0]['curve']) == without_times(ended[1]['curve'])
    step = ended[0]['final']['step']
    states = [tmp_path / name / 'checkpoints' / str(step) / 'state.safetensors' for name in ('killed', 'unstopped')]
    assert states[0].read_bytes() == states[1].read_bytes()
    (row,) = json.loads(run_command('efficiency.count', f'--config={config}', '--format=json'))
    assert (row['task'], row['params'], row['forward_dense_macs']) == ('surface', 3 * 32 + 33, forward)
    run_command('efficiency.report', f'--runs={runs}', f'--out={tmp_path / "report"}')
    tables = [path.read_text() for path in (tmp_path / 'report' / 'tables').glob('*mse*.csv')]
    assert any(str(crossing['train_macs']) in table for table in tables)


def run_command(*args):
    done = subprocess.run([sys.executable, '-m', *args], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.crosscheck
def test_weights_of_torchvision_are_converted_and_read(tmp_path, monkeypatch):
    torch = pytest.importorskip('torch', reason='needs the extra crosscheck')
    torchvision = pytest.importorskip('torchvision', reason='needs the extra crosscheck')
    network = torchvision.models.resnet18().eval()
    monkeypatch.chdir(tmp_path)
    torch.save(network.state_dict(), 'resnet18.pth')
    (convert,) = re.findall(r'^    python -c "(.*)"$', (DOCS / 'networks.md').read_text(), re.MULTILINE)
    exec(convert, {})
    (program,) = programs(DOCS / 'networks.md')
    names = {}
    exec(compile(program, 'docs/networks.md', 'exec'), names)
    with torch.no_grad():
        theirs = network(torch.zeros(1, 3, 224, 224)).numpy()
    np.testing.assert_allclose(names['logits'], theirs, rtol=1e-3, atol=1e-4)
