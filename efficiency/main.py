"""Trains one config to its target and leaves a run record.

    python -m efficiency.main --config=configs/shufflenet.py --workdir=runs/my-run --config.seed=1

Exit codes: 0 the target was reached, all epochs were trained, or the run was finished before; 1 the run failed;
2 a mistake in the command; 143 stopped by SIGTERM and 130 by Ctrl-C, after saving.
"""

import os
import pathlib
import re
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from efficiency.errors import RunError, UserError

_CONFIG = config_flags.DEFINE_config_file(
    'config', help_string='A file of configs/ and a data set preset, FILE[:PRESET].'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; runs/<model>-<dataset>-<hash>-s<seed> by default.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Where TensorFlow Datasets keeps its data.')

EXIT_FAILED, EXIT_USAGE = 1, 2


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if len(argv) > 1:
        raise UserError(f'there is no argument {argv[1]!r}: every option begins with --')
    if _CONFIG.value is None:
        raise UserError('which config? Pass one with --config, as --config=configs/shufflenet.py')
    config = _CONFIG.value
    # Our own log goes to the run's folder; of the libraries' only what may matter to the user is shown.
    logging.set_verbosity(logging.WARNING)
    # Nothing heavy before the flags are known to be right.
    from efficiency.records import is_finished
    from efficiency.summary import summary
    from efficiency.training.settings import run_name
    from efficiency.training.workdir import existing_record

    workdir = pathlib.Path(_WORKDIR.value or pathlib.Path('runs', run_name(config))).expanduser()
    record = existing_record(workdir, config)
    if record is None or not is_finished(record):
        from efficiency.training.loop import Stopped, train

        try:
            record = train(config, workdir, _DATA_DIR.value)
        except Stopped as stopped:
            print(f'efficiency: {stopped}; the same command goes on', file=sys.stderr)
            return 128 + stopped.signal
    print(summary(record, workdir))
    return 0


def _parse_flags(argv: list[str]) -> list[str]:
    """Reads the command line, with the config file's own neighbours at hand for it to import."""
    if any(re.match(r'--?h(elp\w*)?(=|$)', arg) for arg in argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    pairs = zip(argv, [*argv[1:], ''], strict=True)
    values = [m[1] or value for arg, value in pairs if (m := re.match(r'--?config(?:=(.+)|$)', arg))]
    if values:
        path = values[-1].split(':')[0]
        if not os.path.isfile(path):
            raise UserError(_no_such_config(path))
        # A config says `from configs import common`, wherever it is called from.
        sys.path.insert(0, str(pathlib.Path(path).absolute().parent.parent))
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, ImportError, KeyError, SyntaxError, TypeError, ValueError) as error:
        raise UserError(_in_one_sentence(error, argv)) from error


def _in_one_sentence(error: Exception, argv: list[str]) -> str:
    message = str(error.args[0] if error.args else error).strip()
    key = re.match(r"^['\"]?\\?'?([\w.]+)\\?'?(?:\\n|\n|['\"]|$)", message)
    overrides = [m[1] for arg in argv if (m := re.match(r'--?config\.([\w.]+)', arg))]
    if isinstance(error, AttributeError | KeyError) and key:
        name = next((name for name in overrides if name.split('.')[-1] == key[1]), key[1])
        near = re.search(r'Did you mean "([^"]+)"', message)
        return f'the config has no key {name}' + (f'; did you mean {near[1]}?' if near else '')
    # The parser wraps what a config file raises in its whole trace, the message last.
    return re.sub(r'^(\w+Error|FATAL Flags parsing error): ', '', message.splitlines()[-1])


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
