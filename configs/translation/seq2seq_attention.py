"""LSTMs with attention and input feeding (Bahdanau et al., 2014; Luong et al., 2015, arXiv:1508.04025).

Published 2015-08-17. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/seq2seq_attention.py
    python -m efficiency.count --config=configs/translation/seq2seq_attention.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.multi30k('seq2seq_attention', dataset, learning_rate=0.003)
