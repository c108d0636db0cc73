"""Seq2Seq (Sutskever et al., 2014, arXiv:1409.3215): one LSTM reads the source backwards, another writes.

Published 2014-09-10. Adam (0.9, 0.98), warm-up over half an epoch, cosine to the end, 64 pairs a step, on 29,000
English sentences and their German translations; the level is a BLEU of 25 on the validation split, by greedy ones.

    python -m efficiency.main --config=configs/translation/seq2seq.py
    python -m efficiency.count --config=configs/translation/seq2seq.py
"""

from configs.translation import common


def get_config(dataset=None):
    return common.multi30k('seq2seq', dataset, learning_rate=0.003)
