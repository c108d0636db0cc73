"""What the analysis needs of a run record: a few of its words and numbers, and its evaluations as columns."""

import hashlib
import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from efficiency import records
from efficiency.analysis.crossings import AMOUNTS
from efficiency.metrics import NOISE, Metric, of_record

# What may differ between runs of one recipe: none of it changes a step before the target is met.
_NOT_THE_RECIPE = ('seed', 'target', 'stop_at_target', 'eval_batch_size')


class Facts(NamedTuple):
    """Of a record.

    Attributes:
        said: a part of the record that JSON can say, its config's recipe and what it spent.
        evaluations: float64, (columns, evaluations); see `columns_of`.
    """

    said: dict[str, Any]
    evaluations: np.ndarray


def columns_of(metrics: Mapping[str, Metric], noise: bool) -> tuple[str, ...]:
    """The names of the columns of a run's evaluations, in their order.

    Args:
        metrics: that it was evaluated by.
        noise: whether the noise of gradients was measured.
    """
    return (*AMOUNTS, 'loss', *metrics, *(NOISE if noise else ()))


def facts_of(record: records.Record) -> Facts:
    """Of a valid record."""
    dataset, study = record['dataset'], record.get('study') or {}
    said = {
        'task': records.task_of(record),
        'published': record.get('published'),
        'model': record['model'],
        'seed': record['seed'],
        'dataset': [dataset['name'], dataset['fingerprint'], dataset.get('num_eval')],
        'target': [record['target']['metric'], record['target']['value']],
        'status': record['status'],
        'config': record['config'],
        'recipe': _recipe(record['config']),
        'forward_dense_macs': record['macs_per_example']['forward_dense'],
        'precision': record['precision'],
        'device': f'{record["devices"]["count"]} x {record["devices"]["kind"]}',
        'matmul_peak_macs_per_second': record['throughput'].get('matmul_peak_macs_per_second'),
        'spent_macs': records.spent(record),
        'study': [study.get('name'), study.get('system'), study.get('role')],
        'unit': record.get('unit'),
        'noise': bool(record['curve']) and all(key in point for point in record['curve'] for key in NOISE),
    }
    if 'metrics' in record:
        said['metrics'] = record['metrics']
    columns = columns_of(of_record(record), said['noise'])
    rows = list(map(itemgetter(*columns), record['curve']))
    # A column after the other, as each is read by itself.
    evaluations = np.array(rows, float).reshape(-1, len(columns)).T.copy()
    return Facts(said, evaluations)


def settings(config: Mapping) -> dict:
    """What of a config is its recipe."""
    return {key: value for key, value in config.items() if key not in _NOT_THE_RECIPE}


def _recipe(config: Mapping) -> str:
    return hashlib.sha256(json.dumps(settings(config), sort_keys=True).encode()).hexdigest()[:12]
