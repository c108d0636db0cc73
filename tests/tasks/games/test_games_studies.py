"""The studies of games in their shortest form: four steps of every system's own network."""

import pytest

from tests.conftest import ROOT
from tests.kept_studies import kept, run_study, shortest

BOARD = {
    'environments': 8, 'batch_size': 64, 'update_batch': 32, 'updates': 2, 'match_rollouts': 0,
    'num_epochs': 4 * 64 / 1e6, 'eval_every': 2 * 64 / 1e6,
}  # fmt: skip


@pytest.mark.slow
def test_every_system_of_connect_four_is_trained_by_the_command(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    systems = ('alphago_zero', 'alphazero', 'gumbel_alphazero', 'ppo_self_play')
    assert set(systems) == set(kept('connect_four')['systems'])
    level = {'less': 0, 'step': 0.005}
    found = run_study(shortest(tmp_path, 'connect_four', systems, BOARD, level), tmp_path)
    assert len(found) == 2 * len(systems)
    assert {record['final']['step'] for record in found} == {4}
    (baseline,) = (record for record in found if record['study']['role'] == 'baseline')
    # What it holds at its end, rounded down.
    level = baseline['final']['gumbel_accuracy'] // 0.005 * 0.005
    assert f'compute to gumbel_accuracy >= {level:.4g} on connect_four' in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ('systems', 'steps', 'short'),
    [
        (('pqn', 'ppo'), 4, {'num_epochs': 4 * 2048 / 1e6, 'eval_every': 2 * 2048 / 1e6}),
        (
            ('dqn', 'double_dqn', 'n_step_dueling', 'dqn_every_4_frames'), 150,
            {'warm_up': 800, 'num_epochs': 150 * 8 / 1e6, 'eval_every': 75 * 8 / 1e6},
        ),
    ],
)  # fmt: skip
def test_every_system_of_minatar_is_trained_by_the_command(tmp_path, monkeypatch, systems, steps, short):
    monkeypatch.chdir(ROOT)
    path = shortest(tmp_path, 'minatar', systems, short | {'eval_episodes': 8, 'target.value': 0.1})
    found = run_study(path, tmp_path)
    assert len(found) == len(systems)
    assert {record['final']['step'] for record in found} == {steps}
