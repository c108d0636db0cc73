"""The Transformer with its norms in front (Wang et al., 2019, arXiv:1906.01787), 3 + 3 layers of width 128.

Published 2019-06-05. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/transformer_pre_norm.py
    python -m efficiency.count --config=configs/translation/transformer_pre_norm.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.attention_alone('transformer_pre_norm', dataset, learning_rate=0.003)
