"""Run records that say what they are told to, for tests of what is made of them."""

import json

import pytest

from efficiency import records
from efficiency.metrics import OF_CLASSES, Metric, of_record

TOP1, TOP5 = OF_CLASSES['top1'], OF_CLASSES['top5']
# One of each kind that a target may be: what rises or falls, with and without bounds.
BLEU = Metric('bleu', 'BLEU', True, 0, 100)
BITS = Metric('bits_per_byte', 'bits per byte', False, 0)
RETURN = Metric('return', '', True)
MSE = Metric('mse', 'squared metres', False, 0)


def make_record(
    model='net', seed=0, accuracies=(0.5, 0.9), macs_per_epoch=1000, target=0.8, stop=False, metric=TOP1, **config
):
    """A valid record of an evaluation an epoch, 100 examples each; `accuracies` are values of the metric."""
    beside, said = {'top5': 1.0}, {}
    if metric not in OF_CLASSES.values():
        beside, said = {}, {'task': 'a task', 'metrics': {metric.name: metric.to_dict()}}
    metrics = of_record(said)
    curve = [
        {
            'step': 10 * i, 'examples': 100 * i, 'epochs': float(i), 'paper_macs': macs_per_epoch * i,
            'train_macs': macs_per_epoch * i, 'compiled_flops': None, 'train_seconds': 2.0 * i, 'loss': 1.0,
            **beside, metric.name: accuracy,
        }
        for i, accuracy in enumerate(accuracies, 1)
    ]  # fmt: skip
    goal = {'metric': metric.name, 'value': target}
    crossing = records.first_crossing(curve, goal, metrics)
    return said | {
        'schema_version': 1, 'status': 'reached' if crossing else 'exhausted', 'model': model,
        'config': {'model': {'name': model}, 'stop_at_target': stop, 'seed': seed, 'target': goal, **config},
        'seed': seed,
        'dataset': {
            'name': 'data', 'version': '1', 'fingerprint': 'f' * 8, 'num_train': 100, 'num_eval': 10, 'num_classes': 10
        },
        'target': goal, 'first_crossing': crossing,
        'interpolated_crossing': records.interpolated_crossing(curve, goal, metrics), 'final': curve[-1],
        'curve': curve,
        'macs_per_example': dict.fromkeys(('forward_dense', 'forward_real', 'train_dense', 'train_real'), 10),
        'programs': [{
            'steps': 10 * len(curve), 'batch_size': 10, 'image_size': 28,
            'train_dense_macs_per_step': macs_per_epoch // 10, 'train_real_macs_per_step': macs_per_epoch // 10,
            'optimizer_dense_macs_per_step': 0,
        }],
        'xla': dict.fromkeys(
            ('lowered_flops_per_step', 'compiled_flops_per_step', 'compiled_over_train_dense')
        ),
        'evaluation': {'examples': 10, 'dense_macs': 100},
        'clock': dict.fromkeys(
            (f'{phase}_seconds' for phase in ('compile', 'train', 'data_wait', 'evaluation', 'checkpoint')), 1.0
        ),
        'throughput': {
            'examples_per_second': 1.0, 'train_dense_macs_per_second': 29.0, 'matmul_peak_macs_per_second': 5800.0,
            'share_of_peak': 0.5,
        },
        'precision': 'float32', 'devices': {'kind': 'cpu', 'count': 1, 'hosts': 1}, 'versions': {}, 'git': None,
        'resumed_from_steps': [], 'failure': None,
    }  # fmt: skip


def saver(folder):
    """A function that writes a record below a folder, and returns the folder."""

    def write(name, **content):
        workdir = folder / name
        workdir.mkdir(parents=True)
        record = make_record(**content)
        records.validate(record)
        (workdir / 'run.json').write_text(json.dumps(record))
        return folder

    return write


@pytest.fixture
def save(tmp_path):
    return saver(tmp_path / 'runs')
