"""What records of each task can be held against, beyond what a record of any task says."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from efficiency import records
from efficiency.metrics import OF_CLASSES
from efficiency.tasks.games import EPOCH
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
        setting: the key of the config that says the size of an example, as each program does too; None where
            programs of one config are of several.
        passes: forward passes of one evaluation, of a record with a checked config; None where an evaluation is not so
            many of them, as where it goes on until a sentence or a game has ended.
        scores: what in the points of the curve cannot be, a clause for the first.
        is_lowered_whole: whether XLA counts all that a step does: of a loop, as of an LSTM over its tokens, it counts
            one turn.
        epoch: examples that the config's lengths are told in, where data have no end; None where they have one.
    """

    sizes: tuple[str, ...]
    filled: tuple[str, ...]
    setting: str | None
    passes: Callable[[records.Record], int] | None
    scores: Callable[[records.Record], Iterator[str]]
    is_lowered_whole: bool
    epoch: int | None = None


def _of_classes(record: records.Record) -> Iterator[str]:
    if problem := _no_share(record, OF_CLASSES) or _negative_loss(record):
        yield problem
        return
    for i, point in enumerate(record['curve']):
        if point['top1'] > point['top5']:
            yield f'curve[{i}] has a top1 of {point["top1"]}, above its top5 of {point["top5"]}'
            return


def _no_share(record: records.Record, metrics: Iterable[str]) -> str | None:
    """What says that a metric is no share of the examples evaluated."""
    num_eval = record['dataset']['num_eval']
    for i, point in enumerate(record['curve']):
        for metric in metrics:
            if point[metric] > 1 or not _whole(point[metric] * num_eval):
                return f'curve[{i}].{metric} is {point[metric]}, no share of {num_eval} examples'
    return None


def _whole(value: float) -> bool:
    return math.isclose(value, round(value), rel_tol=EXACT, abs_tol=1e-6)


def _negative_loss(record: records.Record) -> str | None:
    for i, point in enumerate(record['curve']):
        if point['loss'] < 0:
            return f'curve[{i}].loss is {point["loss"]}, and a cross-entropy is not below 0'
    return None


def _of_text(record: records.Record) -> Iterator[str]:
    """The loss is in nats a token, and all else is the same in other units."""
    if problem := _negative_loss(record):
        yield problem
        return
    data = record['dataset']
    for i, point in enumerate(record['curve']):
        loss = point['loss']
        wanted = {'perplexity': (perplexity(loss), 'e to the loss')}
        if 'bits_per_byte' in point:
            bits = loss / math.log(2) * data['eval_tokens'] / data['eval_bytes']
            wanted['bits_per_byte'] = bits, 'the loss in bits x eval_tokens / eval_bytes'
        for metric, (value, words) in wanted.items():
            if not math.isclose(point[metric], value, rel_tol=EXACT):
                yield f'curve[{i}].{metric} is {point[metric]}, not {value}: {words}'
                return


def _of_pairs(record: records.Record) -> Iterator[str]:
    if problem := _negative_loss(record):
        yield problem


def _of_boards(record: records.Record) -> Iterator[str]:
    if problem := _no_share(record, record['metrics']):
        yield problem


def _of_screens(record: records.Record) -> Iterator[str]:
    """Points are whole numbers, and the loss is minus their mean."""
    games = record['dataset']['num_eval']
    for i, point in enumerate(record['curve']):
        if not _whole(point['return'] * games):
            yield f'curve[{i}].return is {point["return"]}, no mean of the points of {games} games'
            return
        if point['loss'] != -point['return']:
            yield f'curve[{i}].loss is {point["loss"]}, and minus the return is {-point["return"]}'
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
    'translation': Kind(('num_train', 'num_eval', 'num_test', 'vocabulary'), (), None, None, _of_pairs, False),
    'board_games': Kind(('num_eval',), (), None, None, _of_boards, False, EPOCH),
    'arcade_games': Kind(('num_eval',), (), None, None, _of_screens, False, EPOCH),
}
