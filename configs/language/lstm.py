"""An LSTM (Zaremba et al., 2014, arXiv:1409.2329): 2 layers of 512.

Published 2014-09-08. Adam, warm-up, cosine to the end, 16 rows of 256 tokens a step. The level is 1.8 bits a byte.

    python -m efficiency.main --config=configs/language/lstm.py
    python -m efficiency.count --config=configs/language/lstm.py
"""

from configs.language import common


def get_config(dataset=None):
    config = common.sotu('lstm', dataset, learning_rate=0.003)
    config.model = {'name': 'lstm', 'layers': 2, 'width': 512, 'embedding': 256, 'dropout': 0.0}
    config.schedule = 'cosine'
    config.weight_decay = 0.0
    return config
