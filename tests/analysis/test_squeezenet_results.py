"""What the results page says of SqueezeNet's rates is what the kept runs do."""

from efficiency.analysis.cells import range_text
from efficiency.analysis.document import cell_text
from efficiency.analysis.runs import read_runs, seeds_of, shared_targets, systems
from tests.conftest import ROOT


def test_one_of_five_rates_learns_and_two_of_three_seeds_reach_the_level():
    runs, left_out = read_runs(ROOT / 'results' / 'squeezenet_mnist5k')
    assert (len(runs), left_out) == (8, [])
    tried = {run.config['learning_rate']: run for run in runs if run.is_tuning}
    assert sorted(tried) == [0.003, 0.01, 0.03, 0.1, 0.3]
    # Of ten classes, guessing is right in a tenth.
    assert {rate: run.curve['top1'][-1] < 0.15 for rate, run in tried.items()} == {rate: rate > 0.003 for rate in tried}
    billed = [run for run in runs if not run.is_tuning]
    (target,) = shared_targets(billed)
    (system,) = systems(billed)
    macs = seeds_of(system.crossings(target)).summary
    assert (target.value, macs.n_reached, macs.n) == (0.954, 2, 3)
    page = ' '.join((ROOT / 'docs' / 'results.md').read_text().split())
    assert f'for {cell_text(macs.median)} train macs in the median {range_text(macs)}, on a bill of five' in page
