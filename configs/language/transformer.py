"""The Transformer of today: 6 layers of width 256, rotary positions, RMS norms in front, SwiGLU, Muon for matrices.

Its parts were published from 2017-06-12 to 2021-04-20, Muon on 2024-10-04. Muon for the layers' matrices, AdamW for the
embedding and what is no matrix; warm-up, linear to zero; 16 rows of 256 tokens a step. The level is 1.8 bits a byte.

    python -m efficiency.main --config=configs/language/transformer.py
    python -m efficiency.count --config=configs/language/transformer.py
"""

from configs.language import common


def get_config(dataset=None):
    config = common.sotu('transformer_lm', dataset, learning_rate=0.004)
    config.model = {
        'name': 'transformer_lm',
        'layers': 6,
        'width': 256,
        'hidden': 683,  # a gated network of as many multiply-adds as one of 1,024
        'heads': 4,
        'kv_heads': 0,  # 0: as many as heads
        'position': 'rope',
        'norm': 'rms',
        'activation': 'swiglu',
        'bias': False,
        'tied': True,
        'qk_norm': False,
        'experts': 0,  # 0: one feed-forward network in their place
        'chosen': 1,
        'dropout': 0.0,
    }
    config.optimizer.groups = ({'params': r'blocks_\d+/.*kernel', 'name': 'muon', 'learning_rate': 0.02},)
    return config
