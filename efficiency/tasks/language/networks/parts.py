"""The parts that a Transformer's options choose between, with a date and a paper each."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Part(NamedTuple):
    """What an option chose.

    Attributes:
        paper: where it was published.
        published: the day it was.
    """

    paper: str
    published: datetime.date


def _part(paper: str, published: str) -> Part:
    return Part(paper, datetime.date.fromisoformat(published))


_TRANSFORMER = _part('arXiv:1706.03762', '2017-06-12')
POSITIONS = {
    'sinusoid': _TRANSFORMER,
    'learned': _part('arXiv:1705.03122', '2017-05-08'),
    'rope': _part('arXiv:2104.09864', '2021-04-20'),
}
NORMS = {
    'post': _TRANSFORMER,
    'pre': _part('arXiv:1809.10853', '2018-09-28'),  # Baevski & Auli, section 4.3; GPT-2 and others after them
    'rms': _part('arXiv:1910.07467', '2019-10-16'),  # in front, too
}
ACTIVATIONS = {
    'relu': _TRANSFORMER,
    'gelu': _part('arXiv:1606.08415', '2016-06-27'),
    'swiglu': _part('arXiv:2002.05202', '2020-02-12'),
    'squared_relu': _part('arXiv:2109.08668', '2021-09-17'),
}
_MULTI_QUERY = _part('arXiv:1911.02150', '2019-11-06')
_GROUPED_QUERY = _part('arXiv:2305.13245', '2023-05-22')
_TIED = _part('arXiv:1608.05859', '2016-08-20')
_QK_NORM = _part('arXiv:2010.04245', '2020-10-08')
_SEVERAL_EXPERTS = _part('arXiv:2006.16668', '2020-06-30')  # GShard: each token is sent to two
_ONE_EXPERT = _part('arXiv:2101.03961', '2021-01-11')  # Switch: to one
# Of the loss, and so of no network's options (PaLM, section 5).
Z_LOSS = _part('arXiv:2204.02311', '2022-04-05')

# Optimizers that came after what all of these networks are trained by where nothing else is said, which is Adam.
OPTIMIZERS = {
    'radam': _part('arXiv:1908.03265', '2019-08-08'),
    'lion': _part('arXiv:2302.06675', '2023-02-13'),
    'muon': _part('https://kellerjordan.github.io/posts/muon', '2024-10-04'),
}


def _kv_heads(options: Mapping[str, Any]) -> Part | None:
    shared = options['kv_heads']
    if shared in (0, options['heads']):
        return None
    return _MULTI_QUERY if shared == 1 else _GROUPED_QUERY


def _experts(options: Mapping[str, Any]) -> Part | None:
    if not options['experts']:
        return None
    return _ONE_EXPERT if options['chosen'] == 1 else _SEVERAL_EXPERTS


# By the name of an option: what a network's options choose with it, None where that is nothing.
PARTS: Mapping[str, Callable[[Mapping[str, Any]], Part | None]] = {
    'position': lambda options: POSITIONS[options['position']],
    'norm': lambda options: NORMS[options['norm']],
    'activation': lambda options: ACTIVATIONS[options['activation']],
    'kv_heads': _kv_heads,
    'tied': lambda options: _TIED if options['tied'] else None,
    'qk_norm': lambda options: _QK_NORM if options['qk_norm'] else None,
    'experts': _experts,
}
# The values of those options that are words.
WORDS = {'position': tuple(POSITIONS), 'norm': tuple(NORMS), 'activation': tuple(ACTIVATIONS)}
