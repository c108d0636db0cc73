"""A language that is learned in seconds: words that follow one another in a circle, most of the time."""

import pathlib

import numpy as np
from ml_collections import ConfigDict

from configs.language import common

WORDS = ('ba', 'de', 'gi', 'ko', 'lu')


def text(draw: np.random.RandomState, words: int) -> str:
    """So many words, each mostly the one that follows in the circle."""
    places = np.cumsum(np.where(draw.random_sample(words) < 0.9, 1, 2)) % len(WORDS)
    return ' '.join(WORDS[place] for place in places) + '\n'


def write_documents(folder: pathlib.Path, train: int = 12, test: int = 5) -> pathlib.Path:
    """Files of so many documents a split, of 3 to 60 words each; returns the folder."""
    draw = np.random.RandomState(0)
    for split, count in (('train', train), ('test', test)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / split / f'{number:02}.txt').write_text(text(draw, draw.randint(3, 60)))
    return folder


MODELS = {
    'transformer_lm': {'layers': 1, 'width': 16, 'hidden': 24, 'heads': 2, 'dropout': 0.1},
    'transformer_gpt': {'layers': 1, 'width': 16, 'hidden': 24, 'heads': 2},
    'lstm': {'layers': 2, 'width': 16, 'embedding': 8, 'dropout': 0.1},
    'bert': {'layers': 1, 'width': 16, 'hidden': 24, 'heads': 2},
    't5': {'layers': 1, 'width': 16, 'hidden': 24, 'heads': 2, 'head': 8},
}


def config_of(name: str = 'transformer_lm', **more) -> ConfigDict:
    """A tiny network's: rows of 16 bytes, 8 a step; with other values of what is given."""
    recipe = common.cloze if name in ('bert', 't5') else common.sotu
    tiny = {
        'model': {'name': name, **MODELS[name]}, 'vocabulary': 'bytes', 'context': 16, 'batch_size': 8,
        'eval_batch_size': 4, 'num_epochs': 12.0, 'eval_every': 3.0, 'stop_at_target': False, 'weight_decay': 0.0,
    }  # fmt: skip
    if 'hidden_share' not in recipe(name, None, 0.01):
        tiny['eval_stride'] = 8
    return ConfigDict(recipe(name, 'circle', learning_rate=0.01).to_dict() | tiny | more)
