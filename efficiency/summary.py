"""A run in a few lines, for the person who ran it."""

import pathlib

from efficiency.metrics import of_record
from efficiency.published import baseline_for
from efficiency.records import FILE_NAME, MACS_PER_TFS_DAY, Record, spent, spent_by_part, task_of, unpadded


def summary(record: Record, workdir: pathlib.Path) -> str:
    """What was asked for, what came of it and what it cost, a line each."""
    crossing, final = record['first_crossing'], record['final']
    metrics, clock = of_record(record), record['clock']
    lines = [
        ('run', f'{record["model"]} on {record["dataset"]["name"]}, {record["status"]}'),
        ('target', _target(record)),
    ]
    if crossing:
        interpolated = record['interpolated_crossing']
        lines.append(('reached', f'at step {crossing["step"]:,} (interpolated {interpolated["step"]:,.0f})'))
    else:
        lines.append(('reached', f'no, up to step {final["step"]:,}' if final else 'no'))
    if at := crossing or final:
        if unit := record.get('unit'):
            lines.append((unit, f'{at["examples"]:,}'))
        else:
            lines += [
                ('examples', f'{at["examples"]:,}, {at["epochs"]:.2f} epochs'),
                ('paper compute', f'{_macs(at["paper_macs"])}: 3 x forward dense macs x examples'),
            ]
        lines.append(('train compute', f'{_macs(at["train_macs"])}: dense macs of the train step x steps'))
    if parts := spent_by_part(record):
        whole = max(1, sum(parts.values()))
        lines.append(('of that', ', '.join(f'{name} {100 * macs / whole:.1f} %' for name, macs in parts.items())))
    macs = unpadded(record)
    if macs is not None and (train := spent(record)[0]):
        lines.append(('of real tokens', f'{macs / train:.3f} of all train macs; the rest is padding'))
    if crossing:
        lines.append(('efficiency factor', _factor(record)))
    if final:
        values = [f'{name} {metric.text(final[name])}' for name, metric in metrics.items()]
        lines.append(('final', f'{", ".join(values)}, loss {final["loss"]:.4f} at step {final["step"]:,}'))
    test = record.get('test') or {}
    if numbers := [f'{key} {value:.5g}' for key, value in test.items() if isinstance(value, float)]:
        lines.append(('test', ', '.join(numbers)))
    if 'gates' in test:
        lines.append(('gates', f'{test["gates_passed"]} of {test["gates"]} passed'))
    ratio = record['xla']['compiled_over_train_dense']
    if ratio:
        lines.append(('compiled program', f'{ratio:.2f} x the flops of the train step, by XLA'))
    throughput = record['throughput']
    share = throughput.get('share_of_peak')
    if share:
        rates = {record.get('unit') or 'examples': throughput['examples_per_second']}
        rates |= {what: throughput.get(f'{what}_per_second') for what in ('tokens', 'bytes')}
        rate = ', '.join(f'{number:,.0f} {what}' for what, number in rates.items() if number) + ' a second'
        lines.append(('throughput', f'{rate}, {share:.2f} of the rate of a large matrix multiply'))
    phases = [f'{name.removesuffix("_seconds").replace("_", " ")} {seconds:.1f} s' for name, seconds in clock.items()]
    lines += [('time', ', '.join(phases)), ('record', str(workdir / FILE_NAME))]
    return '\n'.join(f'{name:>17}  {text}' for name, text in lines)


def _target(record: Record) -> str:
    target, dataset = record['target'], record['dataset']
    goal = of_record(record)[target['metric']].goal(target['value'])
    if dataset.get('num_eval') is None:
        return goal
    return f'{goal} on {dataset["num_eval"]:,} {"images" if task_of(record) == "images" else "examples"}'


def _macs(macs: float) -> str:
    return f'{macs:.4g} macs, {macs / MACS_PER_TFS_DAY:.3g} teraflop/s-days of macs'


def _factor(record: Record) -> str:
    target, dataset = record['target'], record['dataset']
    row = baseline_for(dataset['name'], target['metric'], target['value'])
    if row is None:
        return f'no baseline has been measured for this target on {dataset["name"]}'
    if row['fingerprint'] not in ('', dataset['fingerprint']):
        return f'the baseline was measured on other images of {dataset["name"]}: not comparable'
    crossing = record['first_crossing']
    by_train, by_paper = (float(row[key]) / crossing[key] for key in ('train_macs', 'paper_macs'))
    return (
        f'{by_train:.2f} x less train compute than {row["model"]} (median of {row["seeds"]} seeds), '
        f'{by_paper:.2f} x by paper compute; of one seed, and so without an interval'
    )
