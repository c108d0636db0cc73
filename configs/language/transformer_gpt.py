"""GPT-2's Transformer (Radford et al., 2019), small: 6 layers of width 256, learned positions, GELU.

Published 2019-02-14. AdamW, warm-up, cosine to the end, 16 rows of 256 tokens a step. The level is 1.8 bits a byte.

    python -m efficiency.main --config=configs/language/transformer_gpt.py
    python -m efficiency.count --config=configs/language/transformer_gpt.py
"""

from configs.language import common


def get_config(dataset=None):
    config = common.sotu('transformer_gpt', dataset, learning_rate=0.002)
    config.model = {
        'name': 'transformer_gpt', 'layers': 6, 'width': 256, 'hidden': 1024, 'heads': 4, 'dropout': 0.0,
    }  # fmt: skip
    config.schedule = 'cosine'
    return config
