"""Trains one config to its target and leaves a run record.

    python -m efficiency.main --config=configs/shufflenet.py --workdir=runs/my-run --config.seed=1

Exit codes: 0 the target was reached, all epochs were trained, or the run was finished before; 1 the run failed;
2 a mistake in the command; 143 stopped by SIGTERM and 130 by Ctrl-C, after saving.
"""

import json
import os
import pathlib
import re
import sys
import traceback

from absl import app, flags, logging
from ml_collections import config_flags

from efficiency.errors import RunError, UserError
from efficiency.training.memory import restart_with_large_pages

_CONFIG = config_flags.DEFINE_config_file(
    'config', help_string='A file of configs/ and a data set preset, FILE[:PRESET].'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; runs/<model>-<dataset>-<hash>-s<seed> by default.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Where TensorFlow Datasets keeps its data, or an ImageFolder tree.')
_DATA_WORKERS = flags.DEFINE_integer(
    'data_workers', None, 'Processes that decode images; one a core by default, up to 16.', lower_bound=0
)

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
# What absl and ml_collections make of a command line that they do not understand.
_PARSER_ERRORS = (flags.Error, AttributeError, ImportError, KeyError, OSError, TypeError, ValueError)


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if len(argv) > 1:
        raise UserError(f'there is no argument {argv[1]!r}: every option begins with --')
    if not _CONFIG.present:
        raise UserError(_no_such_config(''))
    config = _CONFIG.value
    # Our own log goes to the run's folder; of the libraries' only what may matter to the user is shown.
    logging.set_verbosity(logging.WARNING)
    # Nothing heavy before the flags are known to be right.
    from efficiency.records import is_finished
    from efficiency.summary import summary
    from efficiency.training.settings import check_config, run_name
    from efficiency.training.workdir import existing_record

    check_config(config)
    if config.eval_only:
        from efficiency.training.loop import evaluate

        print(json.dumps(evaluate(config, _DATA_DIR.value)))
        return 0
    workdir = pathlib.Path(_WORKDIR.value or pathlib.Path('runs', run_name(config))).expanduser()
    record = existing_record(workdir, config)
    # With a --data_dir, whether the record is of those very images is found out when they are opened.
    if record is None or not is_finished(record) or _DATA_DIR.value:
        from efficiency.training.loop import Stopped, train

        try:
            record = train(config, workdir, _DATA_DIR.value, _DATA_WORKERS.value)
        except Stopped as stopped:
            print(f'efficiency: {stopped}; the same command goes on', file=sys.stderr)
            return 128 + stopped.signal
    else:
        print('efficiency: this run was finished before; nothing was trained', file=sys.stderr)
    print(summary(record, workdir))
    return 0


def _parse_flags(argv: list[str]) -> list[str]:
    """Reads the command line, with the config file's own neighbours at hand for it to import."""
    if any(re.match(r'--?h(elp\w*)?(=|$)', arg) for arg in argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    pairs = zip(argv, [*argv[1:], ''], strict=True)
    values = [value if m[1] is None else m[1] for arg, value in pairs if (m := re.match(r'--?config(?:=(.*)|$)', arg))]
    path = values[-1].split(':')[0] if values else ''
    if values:
        if not os.path.isfile(path):
            raise UserError(_no_such_config(path))
        # A config says `from configs import common`, wherever it is called from, or imports what lies beside it.
        folder = pathlib.Path(path).absolute().parent
        sys.path.insert(0, str(folder.parent))
        sys.path.append(str(folder))
    try:
        rest = flags.FLAGS(argv)
        if _CONFIG.value is not None:
            # What a config file raises of files comes only when its config is asked for something.
            getattr(_CONFIG.value, 'keys', None)
        return rest
    except Exception as error:
        where = _place_in(path, error)
        if where is None and not isinstance(error, _PARSER_ERRORS):
            raise
        raise UserError(' '.join((where or _in_one_sentence(error, argv)).split())) from error


def _place_in(path: str, error: BaseException | None) -> str | None:
    """What a config file raised and at which line of it; None if it raised nothing."""
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            return f'{error.filename}, line {error.lineno}: {error.msg}'
        files = [(pathlib.Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        lines = [line for file, line in files if path and file.absolute() == pathlib.Path(path).absolute()]
        if lines:
            return f'{path}, line {lines[-1]}: {type(error).__name__}: {error}'
        if 'get_config()' in str(error) or "attribute 'get_config'" in str(error):
            return f'{path} must have a function get_config(preset=None), which returns its config'
        error = error.__cause__ or error.__context__
    return None


def _in_one_sentence(error: Exception, argv: list[str]) -> str:
    from efficiency.training.settings import wanted

    message = str(error.args[0] if error.args else error).strip()
    value = re.match(r'flag (--config\.([\w.]+)=.*?): ', message, re.DOTALL)
    words = value and (wanted(value[2]) or ('True or False' if 'boolean flag' in message else None))
    if words:
        return f'{value[1]}: config.{value[2]} must be {words}'
    unknown = re.match(r"Unknown command line flag '(\w+)'", message)
    if unknown and wanted(unknown[1]):
        return f'there is no flag --{unknown[1]}; did you mean --config.{unknown[1]}?'
    key = re.match(r"^['\"]?\\?'?([\w.]+)\\?'?(?:\\n|\n|['\"]|$)", message)
    overrides = [m[1] for arg in argv if (m := re.match(r'--?config\.([\w.]+)', arg))]
    if isinstance(error, AttributeError | KeyError) and key:
        name = next((name for name in overrides if name.split('.')[-1] == key[1]), key[1])
        near = re.search(r'Did you mean "([^"]+)"', message)
        return f'the config has no key {name}' + (f'; did you mean {near[1]}?' if near else '')
    # The parser wraps what a config file raises in its whole trace, the message last.
    return re.sub(r'^(\w+Error|FATAL Flags parsing error): ', '', message.splitlines()[-1] if message else repr(error))


def _no_such_config(path: str) -> str:
    import difflib

    if not path:
        return 'which config? Pass one with --config, as --config=configs/shufflenet.py'
    folder = pathlib.Path(path) if os.path.isdir(path) else pathlib.Path(path).parent
    there = sorted(file.name for file in folder.glob('*.py')) if folder.is_dir() else []
    near = difflib.get_close_matches(pathlib.Path(path).name, there, n=3, cutoff=0.5) or there
    hint = f'; in {folder} there are {", ".join(near)}' if near else ''
    return f'there is no config file {path}{hint}'


def run() -> None:
    """The command, its mistakes turned into one sentence and exit code 2."""

    def complain(error, code):
        print('efficiency:', ' '.join(str(error).splitlines()), file=sys.stderr)
        sys.exit(code)

    try:
        app.run(lambda argv: sys.exit(main(argv)), flags_parser=_parse_flags)
    except UserError as error:
        complain(error, EXIT_USAGE)
    except RunError as error:
        complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        complain('stopped; the same command goes on from what was saved', EXIT_INTERRUPTED)


if __name__ == '__main__':
    restart_with_large_pages()
    run()
