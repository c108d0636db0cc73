"""BERT (Devlin et al., 2018, arXiv:1810.04805), small: 6 layers of width 256, asked for the 15 % that are hidden.

Published 2018-10-11. AdamW, warm-up, linear to zero, 16 rows of 256 tokens a step. The level: 30 % of them.

    python -m efficiency.main --config=configs/language/bert.py
    python -m efficiency.count --config=configs/language/bert.py
"""

from configs.language import common


def get_config(dataset=None):
    return common.cloze('bert', dataset, learning_rate=0.0005)
