"""The recipes that configs of translation share: one for recurrent networks, one for those of attention alone.

What follows the colon in `--config=configs/translation/transformer.py:multi30k-en-fr` is the data set: the name of one
of TensorFlow Datasets and of two of its texts, source and target; multi30k-en-de where nothing follows.
"""

from ml_collections import ConfigDict


def multi30k(model: str, dataset: str | None, learning_rate: float) -> ConfigDict:
    """The recipe for Multi30k, 29,000 pairs: Adam with a warm-up and a cosine to the end, 64 pairs a step.

    Args:
        model: a name of `efficiency.tasks.translation.networks.list_models()`.
        dataset: as above.
        learning_rate: the peak.
    """
    return ConfigDict(
        {
            'task': 'translation',
            'dataset': dataset or 'multi30k-en-de',
            'train_split': 'train',
            'eval_split': 'validation',
            'test_split': 'test',
            'model': {'name': model},
            'vocabulary': 4000,  # pieces, of both languages together
            'buckets': (16, 24, 40),  # lengths in tokens; what is longer than the last is cut
            'target': {'metric': 'bleu', 'value': 25.0},
            'stop_at_target': True,
            'batch_size': 64,
            'microbatches': 1,
            'num_epochs': 10.0,
            'eval_every': 0.25,
            'eval_batch_size': 128,
            'eval_length': 64,  # of the bucket that evaluation has beside them
            'beam': 4,  # of the test at the end
            'length_penalty': 0.6,
            'label_smoothing': 0.0,
            'optimizer': {'name': 'adamw', 'momentum': 0.9, 'b2': 0.98},
            'learning_rate': learning_rate,
            'schedule': 'cosine',
            'warmup_epochs': 0.5,
            'weight_decay': 0.0,
            'gradient_clip_norm': 1.0,
            'precision': 'float32',
            'seed': 0,
        }
    )


def attention_alone(model: str, dataset: str | None, learning_rate: float) -> ConfigDict:
    """As `multi30k`, with smoothed labels, as Transformers are trained."""
    config = multi30k(model, dataset, learning_rate)
    config.label_smoothing = 0.1
    return config
