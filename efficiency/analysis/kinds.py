"""What records of each task can be held against, beyond what a record of any task says.

Of tasks that are not here, whose steps take several forms or whose data have no end, a record does not say enough of
which steps were which.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

from efficiency import records
from efficiency.metrics import OF_CLASSES
from efficiency.tasks.images import PASSES
from efficiency.tasks.language import perplexity

# Of what is computed from whole numbers in floats.
EXACT = 1e-9


@dataclasses.dataclass(frozen=True)
class Kind:
    """A task's records.

    Attributes:
        sizes: keys of `dataset` that say how much there is; each is there and above 0.
        filled: keys of the config that a run writes down as its data have them.
        setting: what each program says of the size of its examples.
        passes: forward passes of one evaluation, of a record with a checked config.
        scores: what in the points of the curve cannot be, a clause for the first.
        is_lowered_whole: whether XLA counts all that a step does: of a loop, as of an LSTM over its tokens, it counts
            one turn.
    """

    sizes: tuple[str, ...]
    filled: tuple[str, ...]
    setting: str
    passes: Callable[[records.Record], int]
    scores: Callable[[records.Record], Iterator[str]]
    is_lowered_whole: bool


def _of_classes(record: records.Record) -> Iterator[str]:
    num_eval = record['dataset']['num_eval']
    for i, point in enumerate(record['curve']):
        where = f'curve[{i}]'
        for metric in OF_CLASSES:
            right = point[metric] * num_eval
            if point[metric] > 1 or not math.isclose(right, round(right), rel_tol=EXACT, abs_tol=1e-6):
                yield f'{where}.{metric} is {point[metric]}, no share of {num_eval} examples'
                return
        if point['top1'] > point['top5']:
            yield f'{where} has a top1 of {point["top1"]}, above its top5 of {point["top5"]}'
            return
        if point['loss'] < 0:
            yield f'{where}.loss is {point["loss"]}, and a cross-entropy is not below 0'
            return


def _of_text(record: records.Record) -> Iterator[str]:
    """The loss is in nats a token, and all else is the same in other units."""
    data = record['dataset']
    for i, point in enumerate(record['curve']):
        loss = point['loss']
        if loss < 0:
            yield f'curve[{i}].loss is {loss}, and a cross-entropy is not below 0'
            return
        wanted = {'perplexity': (perplexity(loss), 'e to the loss')}
        if 'bits_per_byte' in point:
            bits = loss / math.log(2) * data['eval_tokens'] / data['eval_bytes']
            wanted['bits_per_byte'] = bits, 'the loss in bits x eval_tokens / eval_bytes'
        for metric, (value, words) in wanted.items():
            if not math.isclose(point[metric], value, rel_tol=EXACT):
                yield f'curve[{i}].{metric} is {point[metric]}, not {value}: {words}'
                return


def _windows(record: records.Record) -> int:
    return record['dataset']['eval_windows']


_OF_TEXT = ('num_train', 'num_eval', 'eval_windows', 'vocabulary')
KINDS: Mapping[str, Kind] = {
    'images': Kind(
        sizes=('num_train', 'num_eval', 'num_classes'),
        filled=('augmentation', 'eval_split', 'image_size'),
        setting='image_size',
        passes=lambda record: record['dataset']['num_eval'] * PASSES[record['config']['eval_views']],
        scores=_of_classes,
        is_lowered_whole=True,
    ),
    'language': Kind((*_OF_TEXT, 'eval_tokens', 'eval_bytes'), (), 'context', _windows, _of_text, False),
    'cloze': Kind(_OF_TEXT, (), 'context', _windows, _of_text, False),
}
