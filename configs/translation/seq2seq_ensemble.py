"""An ensemble of five of Seq2Seq (Sutskever, Vinyals & Le, 2014, arXiv:1409.3215), small: LSTMs of 256.

Published 2014-09-10. Trained together, each member as it would be alone, and charged so: the paper's level is of such
an ensemble. Recipe and data as of `seq2seq.py`.

    python -m efficiency.main --config=configs/translation/seq2seq_ensemble.py
    python -m efficiency.count --config=configs/translation/seq2seq_ensemble.py
"""

from configs.translation import common


def get_config(dataset=None):
    config = common.multi30k('seq2seq_ensemble', dataset, learning_rate=0.003)
    # The loss is the members' mean: their gradients together are as long as one's alone over the square root of five.
    config.gradient_clip_norm = 5**-0.5
    return config
