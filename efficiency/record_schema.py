"""What a run record has: its sections, their keys, and what each may be (docs/records.md).

`efficiency.records` reads and writes them, and holds a record's sections against one another.
"""

from efficiency.metrics import LARGEST, NOISE
from efficiency.schema import Number, Optional

SCHEMA_VERSION = 1
STATUSES = ('running', 'reached', 'exhausted', 'failed')
# In a study: what others are compared with, what is compared, and what was there to choose a setting by.
ROLES = ('baseline', 'compared', 'tuning')
# What a program's train macs a step are without the share of padding; of a program whose batches have some.
UNPADDED = 'train_unpadded_macs_per_step'

_COUNT, _SOME, _AMOUNT, _ANY = Number(int), Number(int, low=1), Number(), Number(low=-LARGEST)
_COUNTED = ('step', 'examples', 'paper_macs', 'train_macs')
CROSSING = dict.fromkeys(_COUNTED, _SOME) | {
    # What has no end has no epochs, and no 3 x forward x examples that would mean something.
    'epochs': Optional(_AMOUNT),
    'paper_macs': Optional(_SOME),
    'compiled_flops': Optional(_AMOUNT),
    'train_seconds': _AMOUNT,
}
# Between two evaluations nothing is whole.
_BETWEEN = CROSSING | dict.fromkeys(_COUNTED, _AMOUNT) | {'paper_macs': Optional(_AMOUNT)}
_PART = {'name': str, 'calls_per_step': _SOME} | dict.fromkeys(('dense_macs_per_call', 'real_macs_per_call'), _COUNT)
# Beside its metrics.
POINT = CROSSING | {
    'loss': _ANY,
    **dict.fromkeys(NOISE, Optional(_ANY, may_lack=True)),
}
SCHEMA = {
    'schema_version': SCHEMA_VERSION,
    'status': STATUSES,
    # The domain; that of the first records, which do not say it, is images.
    'task': Optional(str, may_lack=True),
    # What an example is called, as 'moves', where the data have no end; `epochs` and `paper_macs` are null then.
    'unit': Optional(str, may_lack=True),
    'model': str,
    # The day on which its network was published; the first records do not say it.
    'published': Optional(str, may_lack=True),
    'config': dict,
    'seed': _COUNT,
    'dataset': {
        'name': str,
        'version': str,
        'fingerprint': str,
        'num_train': Optional(_COUNT, may_lack=True),
        'num_eval': Optional(_COUNT, may_lack=True),
        'num_classes': Optional(_COUNT, may_lack=True),
        'sample': Optional(str, may_lack=True),
    },
    'target': {'metric': str, 'value': _ANY},
    'first_crossing': Optional(CROSSING),
    'interpolated_crossing': Optional(_BETWEEN),
    'final': Optional(POINT),
    'curve': [POINT],
    # Where initial values are taken from the training data, as those of a whitening layer: what that took, once.
    'initialisation': Optional({'dense_macs': _SOME}, may_lack=True),
    'macs_per_example': dict.fromkeys(('forward_dense', 'forward_real', 'train_dense', 'train_real'), _AMOUNT),
    'programs': [
        dict.fromkeys(
            (
                'steps',
                'batch_size',
                'train_dense_macs_per_step',
                'train_real_macs_per_step',
                'optimizer_dense_macs_per_step',
            ),
            _COUNT,
        )
        | {
            'stage': Optional(_COUNT, may_lack=True),
            'form': Optional(_COUNT, may_lack=True),
            'from_epoch': Optional(_AMOUNT, may_lack=True),
            'forward_dense_macs_per_example': Optional(_COUNT, may_lack=True),
            'forward_real_macs_per_example': Optional(_COUNT, may_lack=True),
            'image_size': Optional(_COUNT, may_lack=True),
            'padding_share': Optional(_AMOUNT, may_lack=True),
            UNPADDED: Optional(_COUNT, may_lack=True),
            'compiled_flops_per_step': Optional(_AMOUNT, may_lack=True),
            # Of a step that is several programs: what each takes, and how often a step calls it.
            'parts': Optional([_PART], may_lack=True),
            'traced': Optional(dict.fromkeys(('step_sha256', 'forward_sha256', 'traced_by'), str), may_lack=True),
        }
    ],
    'xla': {
        'lowered_flops_per_step': Optional(_AMOUNT),
        'compiled_flops_per_step': Optional(_AMOUNT),
        'compiled_over_train_dense': Optional(_AMOUNT),
    },
    'evaluation': {'examples': _COUNT, 'dense_macs': _COUNT},
    # What a task measures of a finished run but once, as on a test split.
    'test': Optional({'dense_macs': _COUNT}, may_lack=True),
    'clock': dict.fromkeys(
        ('compile_seconds', 'train_seconds', 'data_wait_seconds', 'evaluation_seconds', 'checkpoint_seconds'), _AMOUNT
    ),
    'throughput': dict.fromkeys(('examples_per_second', 'train_dense_macs_per_second'), _AMOUNT)
    | dict.fromkeys(
        ('tokens_per_second', 'bytes_per_second', 'matmul_peak_macs_per_second', 'share_of_peak'),
        Optional(_AMOUNT, may_lack=True),
    ),
    'precision': str,
    # What the run is of beside its config; `efficiency.training.code` says when it is compared.
    'code': Optional(
        {'initial_sha256': Optional(str), 'init_from_sha256': Optional(str), 'own_files': dict}, may_lack=True
    ),
    'devices': {'kind': str, 'count': _COUNT, 'hosts': _COUNT},
    'versions': dict,
    'git': Optional({'commit': str, 'dirty': bool}),
    'resumed_from_steps': [_COUNT],
    'failure': Optional(str),
    # Of a record that a study keeps: what the run was there for. `config` says nothing of it.
    'study': Optional({'name': str, 'system': str, 'role': ROLES}, may_lack=True),
}
