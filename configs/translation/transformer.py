"""The Transformer (Vaswani et al., 2017, arXiv:1706.03762), small: 3 + 3 layers of width 128, norms behind.

Published 2017-06-12. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/transformer.py
    python -m efficiency.count --config=configs/translation/transformer.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.attention_alone('transformer', dataset, learning_rate=0.003)
