"""An evaluation's figures, each held against another way to it: sacreBLEU on the text, float64, and counting by hand."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

from efficiency.tasks.translation import evaluation
from efficiency.tasks.translation.data.buckets import Tokens
from efficiency.tasks.translation.data.text import Pairs
from efficiency.tasks.translation.data.vocabulary import learn
from efficiency.tasks.translation.decoding import beam_search, greedy
from efficiency.tasks.translation.evaluation import Sentences, TranslationEvaluator
from efficiency.tasks.translation.networks import create_model
from efficiency.tasks.translation.tokens import BEGIN, END, PADDING
from efficiency.training.mesh import DataParallel
from tests.conftest import ROOT
from tests.tasks.translation.networks.test_macs import transformer
from tests.tasks.translation.networks.tiny import filled, once, shapes_of
from tests.tasks.translation.synthetic import WORDS

LENGTHS, LONGER, WIDTH, PENALTY = (5, 8), 10, 2, 0.6
SIZES = {'width': 8, 'hidden': 12, 'heads': 2, 'encoder_layers': 1, 'decoder_layers': 1, 'dropout': 0.0}


def made():
    """A network, variables, a vocabulary and a split: of each fourth sentence the reference is what is written of it.

    So the translations of a network that has learned nothing are right of some sentences and wrong of others.
    """
    draw = np.random.RandomState(0)
    source = [' '.join(draw.choice(list(WORDS), draw.randint(1, 8))) for _ in range(23)]
    pieces = learn([*source, *WORDS.values()], 40)
    network = create_model('transformer', 40, 40, options=SIZES)
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), filled(shapes_of(network, 4, 4)[0], seed=SEED))
    tokens = Tokens(pieces.encode(source), LENGTHS[-1])
    target = [' '.join(reversed(line.split())) for line in source]
    for i, row in enumerate(alone(greedy, network, variables, tokens)):
        if i % 4 == 0:
            target[i] = pieces.decode([[token for token in row if token not in (END, PADDING)]])[0][:40]
    return network, variables, pieces, Sentences(Pairs(source, target), tokens, Tokens(pieces.encode(target), 8))
