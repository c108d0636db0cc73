"""T5 (Raffel et al., 2019, arXiv:1910.10683), small: 3 + 3 layers of width 256, which write the spans taken out.

Published 2019-10-23. AdamW, warm-up, linear to zero, 16 rows of 256 tokens a step. The level: 30 % of
the tokens that were taken out.

    python -m efficiency.main --config=configs/language/t5.py
    python -m efficiency.count --config=configs/language/t5.py
"""

from configs.language import common


def get_config(dataset=None):
    config = common.cloze('t5', dataset, learning_rate=0.001)
    config.hidden_span = 3.0
    return config
