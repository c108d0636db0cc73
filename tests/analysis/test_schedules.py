"""The schedules of figures are those that train."""

import numpy as np
import pytest

from efficiency.analysis.schedules import SCHEDULES, learning_rate
from efficiency.training.schedules import make_schedule


@pytest.mark.parametrize('name', SCHEDULES)
@pytest.mark.parametrize('warmup', [0, 30])
def test_a_schedule_is_the_one_that_trains(name, warmup):
    steps, per_epoch = 900, 30
    trains = make_schedule(name, 0.1, steps, warmup)
    at = np.arange(warmup, steps)
    ours = learning_rate(name, 0.1, steps / per_epoch, warmup / per_epoch, at / per_epoch)
    np.testing.assert_allclose(ours, [float(trains(step)) for step in at], rtol=1e-4, atol=1e-8)
    # The rate rises step by step to its peak; between steps there is none.
    rise = learning_rate(name, 0.1, 30, 1, np.array([0.5]))
    assert rise == pytest.approx([0.05])
