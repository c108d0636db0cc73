"""A language that is learned in seconds: each word is another in the code, and the last comes first."""

import pathlib

import numpy as np
from ml_collections import ConfigDict

from configs.translation import common

WORDS = {f'{a}{vowel}': f'{b}{vowel}' for a, b in ('bk', 'dl') for vowel in 'aeiou'}
DATASET = 'code-plain-coded'


def coded(line: str) -> str:
    """What a sentence is in the code."""
    return ' '.join(WORDS[word] for word in reversed(line.split()))


def write_pairs(folder: pathlib.Path, seed: int = 0, train: int = 300, validation: int = 30, test: int = 20):
    """Files of so many pairs a split, of one to seven words each, five at least but in training; returns the folder."""
    draw = np.random.RandomState(seed)
    folder.mkdir(exist_ok=True)
    for split, count in (('train', train), ('validation', validation), ('test', test)):
        lines = [
            ' '.join(draw.choice(list(WORDS), draw.randint(1 if split == 'train' else 5, 8))) for _ in range(count)
        ]
        (folder / f'{split}.plain').write_text(''.join(f'{line}\n' for line in lines))
        (folder / f'{split}.coded').write_text(''.join(f'{coded(line)}\n' for line in lines))
    return folder


def config_of(**more) -> ConfigDict:
    """A tiny Transformer's: of lengths 5 and 7, 16 pairs a step; with other values of what is given."""
    tiny = {
        'model': {
            'name': 'transformer', 'width': 16, 'hidden': 24, 'heads': 2, 'encoder_layers': 1, 'decoder_layers': 1,
            'dropout': 0.1,
        },
        'vocabulary': 45, 'buckets': (5, 7), 'eval_length': 7, 'batch_size': 16, 'eval_batch_size': 16,
        'num_epochs': 30.0, 'eval_every': 7.5, 'beam': 2, 'label_smoothing': 0.1,
        'target': {'metric': 'bits_per_byte', 'value': 0.85},
    }  # fmt: skip
    return ConfigDict(common.multi30k('transformer', DATASET, learning_rate=0.01).to_dict() | tiny | more)
