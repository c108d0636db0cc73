"""Trains one config to its target and leaves a run record.

    python -m efficiency.main --config=configs/shufflenet.py --workdir=runs/my-run --config.seed=1

Exit codes: 0 the target was reached, all epochs were trained, or the run was finished before; 1 the run failed;
2 a mistake in the command; 143 stopped by SIGTERM and 130 by Ctrl-C, after saving.
"""

import signal

if __name__ == '__main__':  # before what takes longer to import than a window may stay open
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

import json
import pathlib
import re
import sys
import traceback

from absl import app, flags, logging

from efficiency import backend, console
from efficiency.config_file import define_config, no_such_config, parse_flags
from efficiency.errors import EndOfCommand, Stopped, UserError, out_of_memory
from efficiency.training import hosts
from efficiency.training.memory import collect_rarely, restart_with_large_pages

_CONFIG = define_config(flags.FLAGS)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; runs/<model>-<dataset>-<hash>-s<seed> by default.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Where TensorFlow Datasets keeps its data, or an ImageFolder tree.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'HOST:PORT of host 0, for a run over several hosts.')
_NUM_HOSTS = flags.DEFINE_integer('num_hosts', None, 'How many hosts there are; 1 to stay alone, whatever is detected.')
_HOST = flags.DEFINE_integer('host', None, 'The number of this host, from 0.')
_WAIT_FOR_HOSTS = flags.DEFINE_float('wait_for_hosts', 50.0, 'Seconds to wait for the others at the start.', 1.0)
_DATA_WORKERS = flags.DEFINE_integer(
    'data_workers', None, 'Processes that decode images; one a core by default, up to 16.', lower_bound=0
)
_CHANGED_CODE = flags.DEFINE_bool(
    'changed_code', False, 'Go on with a run, or take it as finished, though its code or weights have changed since.'
)
_LOG = flags.DEFINE_list('log', [], 'Logs to keep beside metrics.jsonl, as tensorboard,wandb.')
_EVAL_ONLY = flags.DEFINE_bool(
    'eval_only', False, 'Evaluate the weights of config.init_from, print what that gives, and train nothing.'
)

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if len(argv) > 1:
        raise UserError(f'there is no argument {argv[1]!r}: every option begins with --')
    if not _CONFIG.present:
        raise UserError(no_such_config(''))
    if _EVAL_ONLY.value and _LOG.value:
        raise UserError('--eval_only prints its result and keeps no log; leave --log out')
    config = _CONFIG.value
    # Our own log goes to the run's folder; of the libraries' only what may matter to the user is shown.
    logging.set_verbosity(logging.WARNING)
    # Nothing heavy before the flags are known to be right.
    with console.doing() as show:
        show('loading jax')
        from efficiency.data.readable import OF_FILES
        from efficiency.records import is_finished
        from efficiency.summary import summary
        from efficiency.training.code import begin, changed_files, check_finished
        from efficiency.training.evaluation_log import check_logs
        from efficiency.training.identity import run_name
        from efficiency.training.settings import check_config
        from efficiency.training.workdir import existing_record

    config = check_config(config)
    check_logs(_LOG.value)
    hosts.start(config, _COORDINATOR.value, _NUM_HOSTS.value, _HOST.value, _WAIT_FOR_HOSTS.value)
    hosts.agree(lambda: {'--eval_only': _EVAL_ONLY.value})
    if _EVAL_ONLY.value:
        backend.check_devices()
        from efficiency.training.evaluation import evaluate

        result = evaluate(config, _DATA_DIR.value)
        if hosts.leads():
            console.deliver(json.dumps(result, allow_nan=False))
        return 0
    workdir = pathlib.Path(_WORKDIR.value or pathlib.Path('runs', run_name(config))).expanduser()
    record = existing_record(workdir, config) if hosts.leads() else None
    finished = record is not None and is_finished(record)
    # With a --data_dir, and of texts that were in one, whether the record is of those very examples is found out when
    # they are opened.
    is_asked_for = finished and not _DATA_DIR.value and record['dataset']['version'] != OF_FILES
    # What is traced anew looks at the devices of all hosts.
    if hosts.tell(lambda: is_asked_for and not _CHANGED_CODE.value and bool(changed_files(record))):
        backend.check_devices()
    if is_asked_for and not _CHANGED_CODE.value:
        check_finished(record, config, str(workdir), lambda: begin(config, None))
    if hosts.tell(lambda: not is_asked_for):
        backend.check_devices()
        from efficiency.training.loop import train

        try:
            record = train(config, workdir, _DATA_DIR.value, _DATA_WORKERS.value, _CHANGED_CODE.value, _LOG.value)
        except Stopped as stopped:
            console.say(f'{stopped}; the same command goes on')
            return stopped.exit_code
    if finished:
        console.say('this run was finished before; nothing was trained')
    if hosts.leads():
        print(summary(record, workdir))
    return 0


def _parse_flags(argv: list[str]) -> list[str]:
    if any(re.match(r'--?h(elp\w*)?(=|$)', arg) for arg in argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    return parse_flags(flags.FLAGS, argv)


def run() -> None:
    """The command, its mistakes turned into one sentence and exit code 2."""

    def complain(error, code):
        hosts.leave(code, ' '.join(str(error).splitlines()))
        console.say(error)
        sys.exit(code)

    def command(argv):
        with hosts.losses_explained():
            code = main(argv)
            hosts.finish(code)
        sys.exit(code)

    collect_rarely()
    try:
        app.run(command, flags_parser=_parse_flags)
    except EndOfCommand as end:
        complain(end, end.exit_code)
    except KeyboardInterrupt:
        complain('stopped; the same command goes on from what was saved', EXIT_INTERRUPTED)
    except Exception as error:
        if sentence := out_of_memory(error):
            complain(sentence, UserError.exit_code)
        if hosts.count() > 1:
            traceback.print_exc()
            hosts.leave(EXIT_FAILED, f'{type(error).__name__}: {error}'.splitlines()[0])
        raise


if __name__ == '__main__':
    restart_with_large_pages()
    console.start(outlives=True)
    run()
