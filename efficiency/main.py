"""Trains one config to its target and leaves a run record.

    python -m efficiency.main --config=configs/shufflenet.py --workdir=runs/my-run --config.seed=1

Exit codes: 0 the target was reached, all epochs were trained, or the run was finished before; 1 the run failed;
2 a mistake in the command; 143 stopped by SIGTERM, after saving.
"""

import os
import pathlib
import re
import sys

from absl import app, flags
from ml_collections import config_flags

from efficiency.errors import RunError, UserError

_CONFIG = config_flags.DEFINE_config_file(
    'config', help_string='A file of configs/ and a data set preset, FILE[:PRESET].'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; runs/<model>-<dataset>-<hash>-s<seed> by default.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Where TensorFlow Datasets keeps its data.')

EXIT_FAILED, EXIT_USAGE, EXIT_TERMINATED = 1, 2, 143


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if len(argv) > 1:
        raise UserError(f'there is no argument {argv[1]!r}: every option begins with --')
    if _CONFIG.value is None:
        raise UserError('which config? Pass one with --config, as --config=configs/shufflenet.py')
    config = _CONFIG.value
    # Nothing heavy before the flags are known to be right.
    from efficiency.summary import summary
    from efficiency.training.settings import run_name
    from efficiency.training.workdir import existing_record

    workdir = pathlib.Path(_WORKDIR.value or pathlib.Path('runs', run_name(config))).expanduser()
    record = existing_record(workdir, config)
    if record is None or record['status'] not in ('reached', 'exhausted'):
        from efficiency.training.loop import Stopped, train

        try:
            record = train(config, workdir, _DATA_DIR.value)
        except Stopped as stopped:
            print(f'efficiency: {stopped}; the same command goes on', file=sys.stderr)
            return EXIT_TERMINATED
    print(summary(record, workdir))
    return 0


def _parse_flags(argv: list[str]) -> list[str]:
    """Reads the command line, with the config file's own neighbours at hand for it to import."""
    path = next((m[1] for arg in argv if (m := re.match(r'--?config=([^:]*)', arg))), None)
    if path is None and '--config' in argv[:-1]:
        path = argv[argv.index('--config') + 1].split(':')[0]
    if path is not None:
        if not os.path.isfile(path):
            raise UserError(_no_such_config(path))
        # A config says `from configs import common`, wherever it is called from.
        sys.path.insert(0, str(pathlib.Path(path).absolute().parent.parent))
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        # The parser wraps what a config file raises in its whole trace, the message last.
        message = str(error.args[0] if error.args else error).strip().splitlines()[-1]
        raise UserError(re.sub(r'^(\w+Error|FATAL Flags parsing error): ', '', message).strip('"\'')) from error


def _no_such_config(path: str) -> str:
    import difflib

    folder = pathlib.Path(path).parent
    there = sorted(file.name for file in folder.glob('*.py')) if folder.is_dir() else []
    near = difflib.get_close_matches(pathlib.Path(path).name, there, n=3, cutoff=0.5) or there
    hint = f'; in {folder} there are {", ".join(near)}' if near else ''
    return f'there is no config file {path}{hint}'


def run() -> None:
    """The command, its mistakes turned into one sentence and exit code 2."""

    def complain(error, code):
        print(f'efficiency: {error}', file=sys.stderr)
        sys.exit(code)

    try:
        app.run(lambda argv: sys.exit(main(argv)), flags_parser=_parse_flags)
    except UserError as error:
        complain(error, EXIT_USAGE)
    except RunError as error:
        complain(error, EXIT_FAILED)


if __name__ == '__main__':
    run()
