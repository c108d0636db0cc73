"""Makes the run records of the measured table that are missing, cheapest first.

    python -m results.make

Each is one run of `python -m efficiency.main` under its config, with nothing else set than the seed and, for the
networks of the frontier, that they train on after the target, so that their curves are whole. The runs are in
`runs/measured`, and are gone on with where this was stopped; a finished record is copied to
`results/<data set>/<model>/seed<k>.json`.
"""

import argparse
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from efficiency import records
from efficiency.errors import UserError

RESULTS = pathlib.Path(__file__).parent
DATASET = 'mnist5k'
# (config, model, seeds): AlexNet's level takes five seeds (efficiency.baselines), other points of the frontier three.
FRONTIER = (
    ('lenet5', 'lenet5', 3),
    ('shufflenet_v2', 'shufflenet_v2_x1_0', 3),
    ('shufflenet', 'shufflenet_v1_x1_0', 3),
    ('mobilenet_v1', 'mobilenet_v1', 3),
    ('efficientnet', 'efficientnet_b0', 3),
    ('alexnet', 'alexnet', 5),
    ('googlenet', 'googlenet', 3),
)
OTHERS = (
    ('mobilenet_v2', 'mobilenet_v2', 1),
    ('shufflenet_v2_x1_5', 'shufflenet_v2_x1_5', 1),
    ('squeezenet', 'squeezenet1_1', 1),
    ('resnet18', 'resnet18', 1),
    ('resnet34', 'resnet34', 1),
    ('resnet50', 'resnet50', 1),
    ('densenet121', 'densenet121', 1),
    ('resnext50', 'resnext50_32x4d', 1),
    ('vgg11', 'vgg11', 1),
    ('wide_resnet50', 'wide_resnet50_2', 1),
)


def plan() -> Iterator[tuple[pathlib.Path, str, list[str]]]:
    """For each record of the table: where it belongs, a name for its run, and the command's options."""
    for networks, options in ((FRONTIER, ['--config.stop_at_target=False']), (OTHERS, [])):
        for config, model, seeds in networks:
            for seed in range(seeds):
                yield (
                    RESULTS / DATASET / model / f'seed{seed}.json',
                    f'{model}-seed{seed}',
                    [f'--config=configs/{config}.py:{DATASET}', f'--config.seed={seed}', *options],
                )


def make(record_path: pathlib.Path, workdir: pathlib.Path, options: Sequence[str]) -> None:
    """Trains one run to its end and copies its record.

    Raises:
        UserError: if the run failed or was stopped; it is gone on with the next time.
    """
    command = [sys.executable, '-m', 'efficiency.main', f'--workdir={workdir}', *options]
    print('+', *command[1:], flush=True)
    if code := subprocess.run(command, check=False).returncode:
        raise UserError(f'the run in {workdir} ended with exit code {code}; the same command goes on with it')
    records.read(workdir)  # a record that is not whole is not kept
    record_path.parent.mkdir(parents=True, exist_ok=True)
    records.write_atomically(record_path, (workdir / records.FILE_NAME).read_bytes())


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', action='store_true', help='say what is missing, and make nothing')
    only_list = parser.parse_args(argv).list
    missing = [entry for entry in plan() if not entry[0].exists()]
    print(f'{len(missing)} of {len(list(plan()))} records are missing', flush=True)
    try:
        for record_path, name, options in missing:
            if only_list:
                print(record_path.relative_to(RESULTS))
            else:
                make(record_path, pathlib.Path('runs', 'measured', name), options)
    except UserError as error:
        print(f'efficiency: {error}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    main()
