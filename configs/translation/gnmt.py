"""GNMT (Wu et al., 2016, arXiv:1609.08144): residual stacks of LSTMs, the first both ways, and attention.

Published 2016-09-26. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/gnmt.py
    python -m efficiency.count --config=configs/translation/gnmt.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.multi30k('gnmt', dataset, learning_rate=0.003)
