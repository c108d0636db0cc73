"""The recipes that configs of language share: one for those who say what follows, one for those who fill gaps.

What follows the colon in `--config=configs/language/transformer.py:lm1b` is the data set, any of TensorFlow Datasets
with a text; sotu where nothing follows.
"""

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder


def sotu(model: str, dataset: str | None, learning_rate: float) -> ConfigDict:
    """The recipe for sotu, 10 MB of State of the Union addresses: AdamW with a warm-up, linear to zero.

    Args:
        model: a name of `efficiency.tasks.language.networks.list_models()`.
        dataset: as above.
        learning_rate: the peak.
    """
    return ConfigDict(
        {
            'task': 'language',
            'dataset': dataset or 'sotu',
            'text': '',  # which text feature; empty: the one called text, or the only one
            'train_split': 'train',
            'eval_split': 'test',
            'model': {'name': model},
            'vocabulary': FieldReference(4000, field_type=object),  # pieces; or 'bytes'
            'context': 256,  # tokens of a row, which is an example
            'eval_stride': placeholder(int),  # tokens from a window to the next; nothing: the context
            'target': {'metric': 'bits_per_byte', 'value': 1.8},
            'stop_at_target': True,
            'batch_size': 16,
            'microbatches': 1,
            'num_epochs': 2.0,
            'eval_every': 0.25,
            'eval_batch_size': 32,
            'z_loss': 0.0,
            'optimizer': {'name': 'adamw', 'momentum': 0.9, 'b2': 0.95},
            'learning_rate': learning_rate,
            'schedule': 'linear',
            'warmup_epochs': 0.05,
            'weight_decay': 0.1,
            'gradient_clip_norm': 1.0,
            'precision': 'float32',
            'seed': 0,
        }
    )


def cloze(model: str, dataset: str | None, learning_rate: float) -> ConfigDict:
    """As `sotu`, for networks that are asked for what is hidden; the level is a share of it that is guessed."""
    config = sotu(model, dataset, learning_rate)
    config.task = 'cloze'
    del config.eval_stride
    config.target = {'metric': 'accuracy', 'value': 0.3}
    config.hidden_share = 0.15
    return config
