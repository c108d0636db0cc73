"""The logs of a run's evaluations, read back by the readers of those who will read them."""

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import lenet5
from efficiency.errors import UserError
from efficiency.training import evaluation_log
from efficiency.training.evaluation_log import EvaluationLog, check_logs

# macs of more digits than single precision has; what XLA did not count.
CURVE = [
    {'step': 5 * i, 'train_macs': 123456789012345 * i, 'compiled_flops': None, 'train_seconds': 2.5 * i, 'top1': i / 7}
    for i in range(1, 5)
]  # fmt: skip


def shown_by_tensorboard(reader):
    """{tag: [(step, value)]} as TensorBoard shows them."""
    reader.Reload()
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()['scalars']}


def as_tensorboard_should(curve):
    """The same of a curve, in TensorBoard's single precision."""
    tags = [name for name, value in curve[0].items() if name != 'step' and value is not None]
    return {tag: [(point['step'], np.float32(point[tag])) for point in curve] for tag in tags}


def log_of(workdir, curve, logs=('tensorboard',), say=pytest.fail):
    return EvaluationLog(workdir, lenet5.get_config(), curve, logs, say)


def test_tensorboard_reads_the_curve(tmp_path):
    log = log_of(tmp_path, [])
    reader = EventAccumulator(str(tmp_path))
    for i, point in enumerate(CURVE):
        log.write(point)
        assert shown_by_tensorboard(reader) == as_tensorboard_should(CURVE[: i + 1])  # at once, not when it is closed
    log.close(failed=False)
    first, *_, last = reader.Scalars('top1')
    assert last.wall_time - first.wall_time == pytest.approx(7.5, abs=1e-5)


@pytest.mark.parametrize('restored', [0, 2, 4])
def test_tensorboard_has_each_point_once_after_a_restart(tmp_path, restored):
    """As of a process that was killed without closing its log, and comes back from an earlier point."""
    log, reader = log_of(tmp_path, []), EventAccumulator(str(tmp_path))
    for point in CURVE:
        log.write(point)
    assert shown_by_tensorboard(reader) == as_tensorboard_should(CURVE)
    again = log_of(tmp_path, CURVE[:restored])
    for point in CURVE[restored:]:
        again.write(point)
    again.close(failed=False)
    for each in (reader, EventAccumulator(str(tmp_path))):  # one that was open meanwhile, and one that begins now
        assert shown_by_tensorboard(each) == as_tensorboard_should(CURVE)
    log.close(failed=False)


def test_a_log_that_was_not_kept_before_has_the_whole_curve(tmp_path):
    log_of(tmp_path, CURVE, logs=[]).close(failed=False)
    log_of(tmp_path, CURVE).close(failed=False)
    assert shown_by_tensorboard(EventAccumulator(str(tmp_path))) == as_tensorboard_should(CURVE)


class Failing:
    """A log that fails at its second point, or where it is closed."""

    def __init__(self, workdir, config, curve):
        self.points = 0

    def write(self, point):
        self.points += 1
        if self.points == 2:
            raise ConnectionError('nobody listens')

    def close(self, failed):
        raise ConnectionError('nobody listens')


def test_a_log_that_fails_is_said_once_and_loses_no_other(tmp_path, monkeypatch):
    monkeypatch.setitem(evaluation_log.LOGS, 'failing', (f'{__name__}.Failing', ''))
    said = []
    log = log_of(tmp_path, [], ['failing', 'tensorboard'], said.append)
    for point in CURVE:
        log.write(point)
    log.close(failed=False)
    assert said == ['the run goes on without its log failing, which failed: ConnectionError: nobody listens']
    assert shown_by_tensorboard(EventAccumulator(str(tmp_path))) == as_tensorboard_should(CURVE)
    assert [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()] == CURVE
    said.clear()
    log_of(tmp_path, CURVE, ['failing'], said.append).close(failed=False)
    assert len(said) == 1


def test_a_log_that_there_is_not_is_told_the_nearest():
    with pytest.raises(UserError, match="no log is named 'tensorbord'; the nearest are tensorboard"):
        check_logs(['tensorbord'])
