"""Config files on a command line: `--config=FILE[:PRESET] --config.seed=1`, mistakes told in one sentence."""

import os
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from efficiency.errors import UserError, shown

# The flag is the command's that asks for it, among whose options --help lists it.
flags.disclaim_key_flags()
# What absl and ml_collections make of a command line that they do not understand.
_PARSER_ERRORS = (flags.Error, AttributeError, ImportError, IndexError, KeyError, OSError, TypeError, ValueError)


def define_config(flag_values: flags.FlagValues, argv: list[str] | None = None) -> flags.FlagHolder:
    """Defines the flag --config, and with it --config.<key> for each key of the file.

    Args:
        flag_values: where.
        argv: the command line that will be read; the process's own where None.
    """
    return config_flags.DEFINE_config_file(
        'config', help_string='A file of configs/ and a data set preset, FILE[:PRESET].', flag_values=flag_values,
        sys_argv=argv,
    )  # fmt: skip


def parse_flags(flag_values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Reads the command line, with the config file's own neighbours at hand for it to import.

    Args:
        flag_values: with `define_config`'s flag.
        argv: the command's name first.

    Returns:
        What is no flag.

    Raises:
        UserError: for a mistake in the command line or in the config file, which names its line.
    """
    argv = [_expanded(arg, before) for arg, before in zip(argv, ['', *argv], strict=False)]
    pairs = zip(argv, [*argv[1:], ''], strict=True)
    values = [value if m[1] is None else m[1] for arg, value in pairs if (m := re.match(r'--?config(?:=(.*)|$)', arg))]
    path = values[-1].split(':')[0] if values else ''
    if values:
        if not os.path.isfile(path):
            raise UserError(no_such_config(path))
        _put_at_hand(pathlib.Path(path).absolute().parent)
    try:
        rest = flag_values(argv)
        if flag_values.config is not None:
            # What a config file raises of files comes only when its config is asked for something.
            getattr(flag_values.config, 'keys', None)
            _check_target(flag_values)
    except UserError:
        raise
    except Exception as error:
        where = place_in(path, error)
        if where is None and not isinstance(error, _PARSER_ERRORS):
            raise
        raise UserError(' '.join((where or _in_one_sentence(error, argv)).split())) from error
    if 'config.dataset' in flag_values:
        _check_dataset(flag_values['config.dataset'], path)
    return rest


def _check_dataset(flag: flags.Flag, path: str) -> None:
    """A data set's name alone does not bring the recipe and the target on it, so that it is not to be overridden."""
    if flag.value != flag.default:
        raise UserError(
            f'config.dataset is {shown(flag.value)}, but target and recipe are those of {flag.default}; choose a data '
            f'set together with its recipe, as in --config={path}:{flag.value}'
        )


def _put_at_hand(folder: pathlib.Path) -> None:
    """Lets a config of that folder import what lies beside it, and say `from configs import common`.

    The recipes are those of the nearest folder above it that has any, else those that lie beside this package.
    """
    package = pathlib.Path(__file__).resolve().parent.parent
    above = next((each for each in (*folder.parents, package) if (each / 'configs' / 'common.py').is_file()), None)
    for each in (above, folder):
        if each is not None:
            sys.path[:] = [str(each), *(entry for entry in sys.path if entry != str(each))]


def _check_target(flag_values: flags.FlagValues) -> None:
    """Checks that who asks for another metric than the config says what of it."""
    overrides = flag_values['config'].override_values
    if 'target.metric' not in overrides or 'target.value' in overrides:
        return
    from efficiency.tasks import known_tasks

    before, value = flag_values['config.target.metric'].default, flag_values.config.target.get('value')
    known = {metric for entry in known_tasks() for metric in entry.metrics}
    # One that is none of any task's is told as such, later.
    if overrides['target.metric'] != before and value is not None and overrides['target.metric'] in known:
        raise UserError(
            f'config.target.metric is {shown(overrides["target.metric"])}, and config.target.value, {shown(value)}, '
            f'is of {before}; pass --config.target.value, too'
        )


def _expanded(arg: str, before: str) -> str:
    """An argument, with the home folder for the ~ of a config file, which shells leave as it is after a =."""
    flag, path = re.fullmatch(r'(--?config=)?(.*)', arg, re.DOTALL).groups()
    return (flag or '') + os.path.expanduser(path) if flag or re.fullmatch('--?config', before) else arg


def read_config(path: str, overrides: Sequence[str] = ()) -> Any:
    """The config of a command line, as `efficiency.main` reads it.

    Args:
        path: FILE[:PRESET].
        overrides: as '--config.seed=1'.

    Raises:
        UserError: for a mistake in them or in the config file, or what is no override.
    """
    flag_values = flags.FlagValues()
    command = ['efficiency', f'--config={path}', *overrides]
    config = define_config(flag_values, command)
    rest = parse_flags(flag_values, command)
    if rest[1:]:
        raise UserError(f'there is no argument {rest[1]!r}: every option begins with --')
    return config.value


def place_in(path: str, error: BaseException | None) -> str | None:
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

    if isinstance(error, UnicodeEncodeError):
        return f'{shown(error.object)} is no text in UTF-8'
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
        hint = (
            '; give it one in its file, to set it here'
            if wanted(name)
            else f'; did you mean {near[1]}?'
            if near
            else ''
        )
        return f'the config has no key {name}{hint}'
    # The parser wraps what a config file raises in its whole trace, the message last.
    return re.sub(r'^(\w+Error|FATAL Flags parsing error): ', '', message.splitlines()[-1] if message else repr(error))


def no_such_config(path: str) -> str:
    """What is wrong where that is no config file, with the nearest ones that are; '' where none was named."""
    import difflib

    if not path:
        return 'which config? Pass one with --config, as --config=configs/shufflenet.py'
    folder = pathlib.Path(path) if os.path.isdir(path) else pathlib.Path(path).parent
    there = sorted(file.name for file in folder.glob('*.py')) if folder.is_dir() else []
    near = difflib.get_close_matches(pathlib.Path(path).name, there, n=3, cutoff=0.5) or there
    hint = f'; in {folder} there are {", ".join(near)}' if near else ''
    return f'there is no config file {path}{hint}'
