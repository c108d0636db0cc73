"""ConvS2S (Gehring et al., 2017, arXiv:1705.03122): gated convolutions, attention in every layer.

Published 2017-05-08. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/conv_s2s.py
    python -m efficiency.count --config=configs/translation/conv_s2s.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.attention_alone('conv_s2s', dataset, learning_rate=0.003)
