"""Whether a record agrees with itself: each figure is held against those that it follows from.

What follows from nothing else in a record is not looked at, as nobody can say what is right: learning rate, momentum,
decay, warm-up and clipping, for how many epochs a run that met its target would have gone on, the peak of the machine,
the seconds of other phases than training, losses, and accuracies beyond being shares of the examples evaluated that
agree about the target. `efficiency.analysis.recount` finds macs and data sets anew.
"""

import collections
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from efficiency import records
from efficiency.analysis.kinds import EXACT, KINDS
from efficiency.errors import shown
from efficiency.metrics import of_record
from efficiency.stages import Timetable

# XLA counts in float32.
_FLOAT32 = 1e-6
# XLA adds to two flops a real multiply-add what is done element by element: of our 45 networks from 1 % to 33 % in
# batches of 32, and at most 3.1 times as much again, of AlexNet's parameters under AdamW with one image of 28 pixels.
_MOST_OVER_REAL = 5
# Winograd's smaller tiles, the quickest that XLA and we have, multiply 2.25 times less than is counted.
_MOST_OVER_PEAK = 2.25
# After the last evaluation nothing is trained; the clock may be read once more.
_CLOCK_SECONDS, _CLOCK_SHARE = 0.1, 0.01
# What the macs of a step are of; the second in the first records.
_PARTS_OF_A_STEP = ('train_dense_macs_per_step_by_operation', 'train_dense_macs_per_step_by_kind')
_COMPILED, _FORWARD = 'compiled_flops_per_step', 'forward_dense_macs_per_example'


def disagreements(record: records.Record, forms: Sequence[int] | None = None) -> Iterator[str]:
    """What in a valid record is not as other parts of it say, a clause each; of one kind in the curve the first.

    Args:
        record: of a task of `KINDS`, finished, its config checked (`efficiency.training.settings.check_config`).
        forms: of each step in turn the form that its batch has, where batches have several
            (`efficiency.analysis.recount.opened_data`). Where they are not known, what a point of the curve took is
            not looked at.
    """
    yield from _config(record)
    yield from _programs(record)
    yield from _curve(record, forms)
    yield from KINDS[records.task_of(record)].scores(record)
    yield from _evaluations(record)
    yield from _seconds(record)
    yield from _xla(record)


def _config(record: records.Record) -> Iterator[str]:
    config = record['config']
    stated = {
        'model': (record['model'], config['model']['name']),
        'seed': (record['seed'], config['seed']),
        'dataset.name': (record['dataset']['name'], config['dataset']),
        'target.metric': (record['target']['metric'], config['target']['metric']),
        'target.value': (record['target']['value'], config['target']['value']),
        'precision': (record['precision'], config['precision']),
    }
    spans = _timetable(record).spans
    for i, program in enumerate(record['programs']):
        number = program.get('stage', 0)
        if not 0 <= number < len(spans):
            yield f'programs[{i}].stage is {number}, and the config has {len(spans)}'
            return
        setting = KINDS[records.task_of(record)].setting
        for key in ('batch_size', setting) if setting else ('batch_size',):
            stated[f'programs[{i}].{key}'] = (program[key], spans[number].config[key])
    for key, (value, wanted) in stated.items():
        if value != wanted:
            yield f'{key} is {shown(value)}, and the config says {shown(wanted)}'


def _programs(record: records.Record) -> Iterator[str]:
    macs = record['macs_per_example']
    for kind in ('forward', 'train'):
        if macs[f'{kind}_real'] > macs[f'{kind}_dense']:
            yield f'macs_per_example has more {kind} real macs than dense ones'
    for i, program in enumerate(record['programs']):
        if program['train_real_macs_per_step'] > program['train_dense_macs_per_step']:
            yield f'programs[{i}] has more real macs a step than dense ones'
        total = program['train_dense_macs_per_step']
        for key in _PARTS_OF_A_STEP:
            if key in program and sum(program[key].values()) != total:
                yield f'programs[{i}].{key} are {sum(program[key].values())} together, and a step takes {total}'
        if parts := program.get('parts'):
            for kind in ('dense', 'real'):
                called = sum(part['calls_per_step'] * part[f'{kind}_macs_per_call'] for part in parts)
                if called != program[f'train_{kind}_macs_per_step']:
                    yield (
                        f'programs[{i}].train_{kind}_macs_per_step is {program[f"train_{kind}_macs_per_step"]}, and '
                        f'its parts take {called}'
                    )
    devices, hosts = (record['devices'][key] for key in ('count', 'hosts'))
    last = {records.place_of(program): program for program in record['programs']}
    for batch in {program['batch_size'] for program in last.values()}:
        if not 1 <= hosts <= devices or devices % hosts or batch % devices:
            yield f'a batch of {batch} does not divide over {devices} devices of {hosts} hosts'
    # What was used last of each is what its macs are told of, for all of its steps.
    taken = [
        (sum(each['steps'] for each in record['programs'] if records.place_of(each) == place), program)
        for place, program in last.items()
    ]
    examples = _sum(taken, 'batch_size')
    train = _sum(taken, 'train_dense_macs_per_step') - _sum(taken, 'optimizer_dense_macs_per_step')
    if examples and not _same(macs['train_dense'], train / examples):
        yield f'macs_per_example.train_dense is {macs["train_dense"]}, and its programs take {train / examples:.12g}'
    forward = sum(n * each['batch_size'] * each.get(_FORWARD, macs['forward_dense']) for n, each in taken)
    if examples and not _same(macs['forward_dense'], forward / examples):
        each = forward / examples
        yield f'macs_per_example.forward_dense is {macs["forward_dense"]}, and its programs take {each:.12g}'


def _timetable(record: records.Record) -> Timetable:
    epoch = KINDS[records.task_of(record)].epoch or record['dataset']['num_train']
    return Timetable(ConfigDict(records.completed_config(record['config'])), epoch)


def _curve(record: records.Record, forms: Sequence[int] | None) -> Iterator[str]:
    """The compute of each point is that of its steps, and there is a point wherever the config evaluates."""
    curve, steps = record['curve'], sum(program['steps'] for program in record['programs'])
    if curve[-1]['step'] != steps:
        yield f'curve ends at step {curve[-1]["step"]}, and the programs took {steps}'
    places = {records.place_of(program) for program in record['programs']}
    if forms is not None:
        yield from _of_forms(record, forms)
    if forms is not None or len({stage for stage, _ in places}) == len(places):
        yield from _compute(record, forms)
    found = records.interpolated_crossing(curve, record['target'], of_record(record))
    for key, value in (record['interpolated_crossing'] or {}).items():
        if key in found and not _same(value, found[key]):
            yield f'interpolated_crossing.{key} is {value}, and between the points around it lies {found[key]}'
    yield from _schedule([point['step'] for point in curve], record)


def _of_forms(record: records.Record, forms: Sequence[int]) -> Iterator[str]:
    """Whether as many steps were of each form as the data have."""
    wanted = collections.Counter(itertools.islice(_places(record, forms), record['curve'][-1]['step']))
    taken = collections.Counter()
    for program in record['programs']:
        taken[records.place_of(program)] += program['steps']
    for (stage, form), steps in sorted(taken.items()):
        if steps != wanted[stage, form]:
            yield f'took {steps} steps of form {form} in stage {stage}, and its batches are {wanted[stage, form]} such'


def _places(record: records.Record, forms: Sequence[int]) -> Iterator[records.Place]:
    """The stage and the form of each step in turn."""
    timetable = _timetable(record)
    return ((timetable.number_at(step), form) for step, form in enumerate(forms))


def _compute(record: records.Record, forms: Sequence[int] | None) -> Iterator[str]:
    curve, endless = record['curve'], KINDS[records.task_of(record)].epoch is not None
    forward, first = record['macs_per_example']['forward_dense'], records.first_macs(record)
    places, so_far, done, unlike = _places(record, forms or ()), collections.Counter(), 0, {}
    for i, point in enumerate(curve):
        so_far.update(itertools.islice(places, max(0, point['step'] - done)))
        done = point['step']
        taken = _steps_by_program(record['programs'], done, None if forms is None else so_far)
        examples = _sum(taken, 'batch_size')
        paper_macs = 3 * sum(n * program['batch_size'] * program.get(_FORWARD, forward) for n, program in taken)
        wanted = [
            ('examples', examples, 'its steps x batch size'),
            ('train_macs', first + _sum(taken, 'train_dense_macs_per_step'), "its steps x their programs' macs"),
        ]
        if endless:
            words = 'as its data have no end'
            wanted += [('epochs', None, words), ('paper_macs', None, words)]
        else:
            num_train = record['dataset']['num_train']
            wanted.append(('epochs', examples / num_train, f'its examples / {num_train}'))
            wanted.append(('paper_macs', paper_macs, "3 x its programs' forward dense macs x its examples"))
        if all(_COMPILED in program for program in record['programs']):  # the first records' do not have it
            wanted.append(('compiled_flops', _sum(taken, _COMPILED), "its steps x their programs' compiled flops"))
        for key, value, words in wanted:
            if not _same(point[key], value):
                unlike.setdefault(key, f'curve[{i}].{key} is {point[key]}, not {value}: {words}')
    yield from unlike.values()


def _schedule(steps: Sequence[int], record: records.Record) -> Iterator[str]:
    """Whether the run was evaluated when its config says, and ended where it says."""
    config, timetable = record['config'], _timetable(record)
    total, done = timetable.total_steps, 0
    for i, step in enumerate(steps):
        due = timetable.next_evaluation(done) if done < total else step
        if step < due:
            yield f'curve[{i}] is at step {step}, where the config has no evaluation'
            break
        if step > due:
            yield f'curve lacks an evaluation that was due before curve[{i}]'
            break
        done = step
    crossing = record['first_crossing']
    if crossing is not None and config['stop_at_target']:
        if steps[-1] != crossing['step']:
            yield f'the run stops at its target, which it met at step {crossing["step"]}, and it ends at {steps[-1]}'
    elif steps[-1] < total:
        yield f'the run ends at step {steps[-1]}, and its {config["num_epochs"]:g} epochs are {total} steps'
    if steps[-1] > total:
        yield f'the run goes on to step {steps[-1]}, and its {config["num_epochs"]:g} epochs are {total} steps'
    if (record['status'] == 'reached') != (crossing is not None):
        yield f'status is {record["status"]}, and the curve {"meets" if crossing else "does not meet"} the target'


def _evaluations(record: records.Record) -> Iterator[str]:
    found, evaluations = record['evaluation'], len(record['curve'])
    examples = evaluations * record['dataset']['num_eval']
    if found['examples'] != examples:
        yield f'evaluation.examples is {found["examples"]}, and evaluations x examples are {examples}'
    passes_of, forward = KINDS[records.task_of(record)].passes, record['macs_per_example']['forward_dense']
    if passes_of is None or len(_timetable(record).spans) > 1:
        return
    passes = evaluations * passes_of(record)
    if found['examples'] == examples and not _same(found['dense_macs'], passes * forward):
        yield f'evaluation.dense_macs is {found["dense_macs"]}, not {passes} forward passes x {forward} macs'


def _seconds(record: records.Record) -> Iterator[str]:
    seconds = [point['train_seconds'] for point in record['curve']]
    trained = record['clock']['train_seconds']
    if seconds[0] <= 0 or seconds != sorted(seconds):
        yield 'train_seconds of the curve do not grow from point to point'
    if not seconds[-1] <= trained <= seconds[-1] * (1 + _CLOCK_SHARE) + _CLOCK_SECONDS:
        yield f'clock.train_seconds is {trained}, and the last point of the curve was there after {seconds[-1]}'
        return
    found, taken = record['throughput'], [(program['steps'], program) for program in record['programs']]
    dense, real = (_sum(taken, f'train_{kind}_macs_per_step') / trained for kind in ('dense', 'real'))
    rates = {'examples_per_second': _sum(taken, 'batch_size') / trained, 'train_dense_macs_per_second': dense}
    data = record['dataset']
    for what in ('tokens', 'bytes'):
        if f'{what}_per_second' in found and data.get(f'train_{what}'):
            rates[f'{what}_per_second'] = rates['examples_per_second'] * data[f'train_{what}'] / data['num_train']
    peak = found.get('matmul_peak_macs_per_second')
    if peak:
        rates['share_of_peak'] = dense / peak
        if real > _MOST_OVER_PEAK * peak:
            yield f'its steps took {trained} s, which is {real / peak:.3g} times what the machine can'
    for key, rate in rates.items():
        if not _same(found.get(key), rate):
            yield f'throughput.{key} is {found.get(key)}, and from steps and train_seconds follows {rate}'


def _xla(record: records.Record) -> Iterator[str]:
    found, last = record['xla'], _used_most(record)
    compiled, lowered = found[_COMPILED], found['lowered_flops_per_step']
    if not _same(last.get(_COMPILED, compiled), compiled):
        yield f"xla.{_COMPILED} is {compiled}, and its program's is {last[_COMPILED]}"
    ratio = compiled / (2 * last['train_dense_macs_per_step']) if compiled else None
    if not _same(found['compiled_over_train_dense'], ratio):
        yield f'xla.compiled_over_train_dense is {found["compiled_over_train_dense"]}, and the two figures give {ratio}'
    if not KINDS[records.task_of(record)].is_lowered_whole:
        return
    # Of a batch that is taken in parts XLA counts one, as it does a loop's body once.
    own, parts = last['optimizer_dense_macs_per_step'], record['config'].get('microbatches', 1)
    real = 2 * ((last['train_real_macs_per_step'] - own) // parts + own)
    if lowered is None:
        yield "xla.lowered_flops_per_step is null, so that XLA's own count vouches for nothing"
    elif not real * (1 - _FLOAT32) <= lowered <= _MOST_OVER_REAL * real:
        yield (
            f'xla.lowered_flops_per_step is {lowered:.12g}, and XLA counts from two flops for each of {real // 2} real '
            f'macs, {real}, to {_MOST_OVER_REAL} times as many'
        )


def _used_most(record: records.Record) -> Mapping:
    """The program that most steps of the last stage were of, as it was last: `xla` is of it."""
    last = record['programs'][-1].get('stage', 0)
    here = [program for program in record['programs'] if program.get('stage', 0) == last]
    place = records.place_of(max(here, key=lambda program: program['steps']))
    return [program for program in here if records.place_of(program) == place][-1]


def _steps_by_program(
    programs: Sequence[Mapping], step: int, of_places: Mapping[records.Place, int] | None
) -> list[tuple[int, Mapping]]:
    """How many of a run's first steps each of its programs took: one after the other, but for what forms tell apart.

    Args:
        of_places: how many of these steps were of each stage and form; None where stages have one form.
    """
    taken, left = [], collections.Counter(of_places)
    for program in programs:
        place = records.place_of(program)
        taken.append((min(program['steps'], step if of_places is None else left[place]), program))
        step -= taken[-1][0]
        left[place] -= taken[-1][0]
    return taken


def _sum(taken: Sequence[tuple[int, Mapping]], key: str) -> Any:
    """Over steps; None where a program's is not known."""
    values = [program[key] for _, program in taken]
    return None if None in values else sum(steps * program[key] for steps, program in taken)


def _same(value: float | None, wanted: float | None) -> bool:
    if value is None or wanted is None:
        return value is wanted
    if isinstance(value, int) and isinstance(wanted, int):
        return value == wanted
    return value == wanted or math.isclose(value, wanted, rel_tol=EXACT)
